import fc from 'fast-check';
import { listContacts } from '../../core/contacts/list.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import { sql } from '../../core/db/sql.ts';
import { AimError } from '../../core/errors.ts';
import type { SearchedEntity } from '../../core/search/cursor.ts';
import { search } from '../../core/search/search.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';
import { aContact } from './factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
  tenantId = await aTenant(db);
  campaignId = await aCampaign(db, tenantId);
  await aContact(db, { tenantId, campaignId }, { fullName: 'Ada Lovelace', email: 'ada@engines.example' });
});
afterAll(() => db.close());

async function queryOf(q: string): Promise<string | null> {
  const [row] = await db.query<{ query: string | null }>(
    sql('test.query')`select aim.search_query(${q})::text as query`,
  );
  return row?.query ?? null;
}
const find = (q: string, entity: SearchedEntity = 'contacts') =>
  search(db.asApi.forTenant(tenantId), tenantId, entity, { q, limit: 10 });

test.each([
  ['john smi', `'john' & 'smi':*`],
  ['john smi ', `'john' & 'smi'`],
  ['"john smi"', `'john' <-> 'smi'`],
  ['john -smi', `'john' & !'smi'`],
  ['john or smi', `'john' | 'smi':*`],
  ['Jean-Luc', `'jean' <-> 'luc':*`],
  ["O'Brien ", `'o' <-> 'brien'`],
  ['ada@acme.co.uk ', `'ada' <-> 'acme' <-> 'co' <-> 'uk'`],
  ['-ada@acme.com x ', `!( 'ada' <-> 'acme' <-> 'com' ) & 'x'`],
  ['https://www.Acme.com/path/ ', `'acme' <-> 'com' <-> 'path'`],
  ['-www.acme.com x ', `!( 'acme' <-> 'com' ) & 'x'`],
  ['a:*b & c | !d <-> (e) ', `'a' <-> 'b' & 'c' & 'd' & 'e'`],
  ['МОСКВА ', `'москва'`],
  ['"-1 a" -2 b-3 "c"-d ', `'1' <-> 'a' & !'2' & 'b' <-> '3' & 'c' & !'d'`],
  ['1e131071 ', `'1e131071'`],
])('%j asks for %s', async (q, query) => {
  expect(await queryOf(q)).toBe(query);
});

test.each(['', ' ', '!!!', '""', '-john', '-"john smith"', '-a -b', 'john or -smith', '- ', '\u200b'])(
  '%j names nothing to look for',
  async (q) => {
    const refused = { code: 'invalid_request', errors: [{ path: 'search', code: 'nothing_to_find' }] };
    expect(await queryOf(q)).toBeNull();
    await expect(find(q)).rejects.toMatchObject(refused);
  },
);

test.each([
  ['NUL', 'a\0b', 'unstorable_text'],
  ['half a surrogate pair', 'a\ud800', 'unstorable_text'],
  ['257 characters', 'a'.repeat(257), 'too_long'],
])('%s is refused with its reason', async (_, q, code) => {
  await expect(find(q)).rejects.toMatchObject({ status: 400, errors: [{ path: 'search', code }] });
});

/** Fragments of the query language, of hosts and of odd scripts, so that their combinations come up. */
const pieces = [
  '"',
  '-',
  ' or ',
  'ada',
  "'",
  '\\',
  ':*',
  '&',
  '|',
  '!',
  '(',
  ')',
  '<->',
  '@',
  '.',
  '/',
  'www.',
];
const odd = [
  'İ',
  'ß',
  'ŉ',
  '½',
  '\u0301',
  '\u200d',
  '😀',
  '漢字',
  '\u202e',
  '﷽',
  'ﬁ',
  '%',
  '_',
  '\t',
  '\n',
  '1e99',
];
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 256 }),
  fc
    .array(fc.constantFrom(...pieces, ...odd), { maxLength: 60 })
    .map((parts) => parts.join('').slice(0, 256)),
);
const anyEntity = fc.constantFrom<SearchedEntity>('companies', 'contacts', 'research');

test('any text is an answer or a refusal that says why', async () => {
  await fc.assert(
    fc.asyncProperty(anyText, anyEntity, async (q, entity) => {
      const outcome = await find(q, entity).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(AimError);
      if (outcome instanceof AimError) expect(outcome.status).toBe(400);
    }),
    { numRuns: 300 },
  );
});

test('a stored name is found by itself, whatever it is made of', async () => {
  // Of an address, the query alone leaves out what domains are kept without.
  const name = anyText.filter(
    (text) => text.isWellFormed() && !text.includes('\0') && !/www\.|https?:/i.test(text),
  );
  await fc.assert(
    fc.asyncProperty(name, async (fullName) => {
      const id = await aContact(db, { tenantId, campaignId }, { fullName });
      const quoted = `"${fullName.replaceAll('"', ' ')}"`.slice(0, 256);
      const found = await find(quoted).catch((error: unknown) => error);
      await db.query(sql('test.delete')`delete from contacts where id = ${id}`);
      if (found instanceof AimError) return;
      expect((found as Awaited<ReturnType<typeof find>>).hits.map((hit) => hit.id)).toContain(id);
    }),
    { numRuns: 200 },
  );
});

test('names of the longest words are stored and found', async () => {
  for (const letter of ['x', 'é', '漢', '𝔸', '㍿', '﷽']) {
    const id = await aContact(
      db,
      { tenantId, campaignId },
      { fullName: letter.repeat(250), title: letter.repeat(500) },
    );
    const found = await find(`${letter.repeat(100)}`.slice(0, 100));
    expect(found.hits.map((hit) => hit.id)).toContain(id);
    await db.query(sql('test.delete')`delete from contacts where id = ${id}`);
  }
});

test('a name beyond its bounds fails by its check, not by the search', async () => {
  for (const word of ['x', 'é']) {
    const tooLong = aContact(db, { tenantId, campaignId }, { fullName: word.repeat(1_048_577) });
    await expect(tooLong).rejects.toMatchObject({ code: '23514' });
  }
});

test.each([
  ['order', { order: 'asc' }],
  ['sort', { sort: 'name' }],
  ['hasEmail', { hasEmail: 'true' }],
])('a search answers in its own order, so it refuses %s', async (path, other) => {
  const query = ContactQuery.parse({ search: 'ada', ...other });
  const errors = [{ path, code: 'not_with_search' }];
  await expect(listContacts({ db: db.asApi.forTenant(tenantId) }, tenantId, query)).rejects.toMatchObject({
    errors,
  });
});
