import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { readBody } from '../../core/http/body.ts';

const read = (body: Readable) => readBody(body, {}, { maxBytes: 10 });

test('a body is read to its end, up to the cap', async () => {
  expect(await read(Readable.from([Buffer.from('12345'), Buffer.from('67890')]))).toBe('1234567890');
  await expect(read(Readable.from([Buffer.from('12345'), Buffer.from('678901')]))).rejects.toThrow(
    'larger than 10',
  );
});

test('a body that is cut off, before or while it is read, is an error and nothing that hangs', async () => {
  const gone = new Readable({ read: () => undefined }).destroy();
  await setImmediate();
  await expect(read(gone)).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });

  const broken = new Readable({ read: () => undefined });
  broken.on('error', () => undefined).destroy(new Error('reset'));
  await setImmediate();
  await expect(read(broken)).rejects.toThrow('reset');

  const cut = new Readable({ read: () => undefined });
  const reading = read(cut);
  cut.push('12');
  cut.destroy();
  await expect(reading).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
});
