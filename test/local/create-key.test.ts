import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { authenticate } from '../../core/keys/authenticate.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const createKey = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['scripts/create-key.ts', ...args], {
    env: { ...process.env, DATABASE_URL: db.url },
  });
const keyIn = (stdout: string) => /^key +(afl_\S+)$/m.exec(stdout)?.[1] ?? '';

test('an operator makes a tenant and its first key, and further ones with fewer scopes', async () => {
  const first = keyIn((await createKey('--name', 'n8n')).stdout);
  const made = await authenticate({ db }, first);
  expect(made).toMatchObject({ scopes: ['read', 'write', 'research', 'results:write'] });

  const tenant = await aTenant(db);
  const second = keyIn((await createKey('--name', 'reports', '--tenant', tenant, '--scopes', 'read')).stdout);
  expect(await authenticate({ db }, second)).toMatchObject({ tenantId: tenant, scopes: ['read'] });
});

test.each([
  ['no name', [], 'at name'],
  ['an unknown scope', ['--name', 'n8n', '--scopes', 'read,all'], 'at scopes[1]'],
  ['a misspelt flag', ['--nme', 'n8n'], "Unknown option '--nme'"],
])('%s is refused with the usage', async (_, args, said) => {
  await expect(createKey(...args)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining(said),
  });
});
