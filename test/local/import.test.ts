import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Api as HttpApi } from '../../local/api.ts';
import { importCsv } from '../../local/demo/import.ts';
import { aClient, anApi, type Client } from '../api/client.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
let client: Client;
let folder: string;
let said: string[];
beforeAll(async () => {
  db = await testDatabase();
  client = await aClient(db, anApi(db));
  folder = await mkdtemp(join(tmpdir(), 'import-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await db.close();
});
beforeEach(() => {
  said = [];
  jest.spyOn(console, 'log').mockImplementation((line: string) => void said.push(line));
});
afterEach(() => jest.restoreAllMocks());

async function importing(text: string) {
  const file = join(folder, 'list.csv');
  await writeFile(file, text);
  const http = (async (method, path, body) => (await client.send(method, path, body)).body) as HttpApi;
  return importCsv(http, await client.campaign(), { file, log: join(folder, 'import.log') });
}

test('an import tells how many rows it took, and why not the others', async () => {
  const imported = await importing('name,website\nAcme,acme.com\nAcme Ltd,www.acme.com\nBeta,b@beta.com\n');
  expect(imported).toEqual({ rows: 3, companies: 1, doubles: 1, rejected: 1 });
  expect(said).toEqual([
    expect.stringMatching(/list\.csv: 3 rows → 1 companies, 1 doubles, 1 not taken/),
    '  row 3: the same company as row 2 (acme.com)',
    expect.stringMatching(/^ {2}row 4, column website: not taken: .*email/),
  ]);
});

test('an import without a column of domains says so, and what it found', async () => {
  expect(await importing('name,Netz\nAcme,acme.com\n')).toMatchObject({ companies: 1 });
  expect(said[1]).toMatch(/no column is the domain.*\(found: name, Netz\)/);
});
