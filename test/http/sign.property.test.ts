import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { sign } from '../../core/http/sign.ts';

test('a signature is what the library of Standard Webhooks makes of the same', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 24, maxLength: 64 }),
      fc.uuid(),
      fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }),
      fc.string({ unit: 'grapheme' }),
      (key, id, sentAt, body) => {
        const secret = `whsec_${Buffer.from(key).toString('base64')}`;
        expect(sign(secret, id, sentAt, body)).toBe(new Webhook(secret).sign(id, sentAt, body));
      },
    ),
  );
});
