import { sql } from '../../core/db/sql.ts';
import type { SearchedEntity } from '../../core/search/cursor.ts';
import { search } from '../../core/search/search.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';
import { aCompany, aContact, aResearch } from './factories.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

async function aWorld() {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const find = async (entity: SearchedEntity, q: string, options: { campaignId?: string } = {}) => {
    const page = await search(db.asApi.forTenant(tenantId), tenantId, entity, { q, limit: 100, ...options });
    return page.hits.map((hit) => hit.id);
  };
  const contact = (row: Parameters<typeof aContact>[2]) => aContact(db, { tenantId, campaignId }, row);
  const company = (row: Parameters<typeof aCompany>[2]) => aCompany(db, { tenantId, campaignId }, row);
  return { tenantId, campaignId, find, contact, company };
}

test('a name counts more than a title or an email', async () => {
  const { find, contact } = await aWorld();
  const byEmail = await contact({ fullName: 'Ada Lovelace', email: 'a@baker.example' });
  const byName = await contact({ fullName: 'Josephine Baker' });
  const byTitle = await contact({ fullName: 'Grace Hopper', title: 'Baker' });
  const found = await find('contacts', 'baker');
  expect(found[0]).toBe(byName);
  expect(new Set(found.slice(1))).toEqual(new Set([byEmail, byTitle]));
});

test('a company is found by its name first, then by a label of its domain', async () => {
  const { find, company } = await aWorld();
  const byDomain = await company({ name: 'Angstrom AB', domain: 'widgets.co.example' });
  const byName = await company({ name: 'Best Widgets', domain: 'bw.example' });
  expect(await find('companies', 'widgets')).toEqual([byName, byDomain]);
  expect(await find('companies', 'widgets.co.example')).toEqual([byDomain]);
  expect(await find('companies', 'https://www.Widgets.co.example/')).toEqual([byDomain]);
});

test('labels of hosts with a path and of emails are words', async () => {
  const { find, contact, company } = await aWorld();
  const onFacebook = await company({ name: 'X', domain: 'facebook.com/acme-tools' });
  const ada = await contact({ email: 'ada.byron+crm@analytical-engines.example' });
  expect(await find('companies', 'tools')).toEqual([onFacebook]);
  for (const q of [
    'byron',
    'crm',
    'engines',
    'analytical-engines',
    'ada.byron+crm@analytical-engines.example',
  ])
    expect({ q, found: await find('contacts', q) }).toEqual({ q, found: [ada] });
  expect(await find('contacts', 'engines-analytical')).toEqual([]);
});

test('accents, case, width and composition do not matter, in names and in queries', async () => {
  const { find, contact } = await aWorld();
  const id = await contact({ fullName: 'José Ångström', title: 'МОСКВА' });
  for (const q of ['jose', 'JOSÉ', 'jose\u0301', 'angstrom ', 'Ａngstrom', 'москва', 'Москва '])
    expect({ q, found: await find('contacts', q) }).toEqual({ q, found: [id] });
});

test('the last word may be unfinished, unless a blank or a quote ends it; others may not', async () => {
  const { find, contact } = await aWorld();
  const id = await contact({ fullName: 'Maximiliane Mustermann' });
  expect(await find('contacts', 'maximiliane muster')).toEqual([id]);
  expect(await find('contacts', 'maximiliane "muster"')).toEqual([]);
  expect(await find('contacts', 'maxi "mustermann"')).toEqual([]);
  const other = await contact({ fullName: 'Max Muster' });
  expect(await find('contacts', 'max muster ')).toEqual([other]);
  expect(new Set(await find('contacts', 'max'))).toEqual(new Set([id, other]));
});

test('phrases, minus and or', async () => {
  const { find, contact } = await aWorld();
  const manager = await contact({ fullName: 'A', title: 'Head of Sales' });
  const reversed = await contact({ fullName: 'B', title: 'Sales of Head' });
  const founder = await contact({ fullName: 'C', title: 'Founder' });
  expect(await find('contacts', '"head of sales"')).toEqual([manager]);
  expect(new Set(await find('contacts', 'head sales'))).toEqual(new Set([manager, reversed]));
  expect(await find('contacts', 'sales -"head of"')).toEqual([reversed]);
  expect(new Set(await find('contacts', '"head of sales" or founder'))).toEqual(new Set([manager, founder]));
  expect(await find('contacts', 'founder -c')).toEqual([]);
});

test('no word is dropped or stemmed', async () => {
  const { find, company } = await aWorld();
  const the = await company({ name: 'The Who' });
  const running = await company({ name: 'Running Shoes' });
  expect(await find('companies', '"the"')).toEqual([the]);
  expect(await find('companies', '"running"')).toEqual([running]);
});

test('a typo finds what is spelled alike, best first, and only when nothing has the words', async () => {
  const { find, contact, company, campaignId, tenantId } = await aWorld();
  const john = await contact({ fullName: 'John Smith' });
  await contact({ fullName: 'Peter Kowalski' });
  const smithson = await contact({ fullName: 'Johanna Smithson' });
  expect((await find('contacts', 'jonh smith'))[0]).toBe(john);
  expect(await find('contacts', 'smithsno')).toEqual([smithson, john]);
  expect(await find('contacts', 'smith ')).toEqual([john]);
  const angstrom = await company({ name: 'Ångström Microsystems' });
  const research = await aResearch(db, { tenantId, campaignId, companyId: angstrom });
  expect(await find('companies', 'angstorm')).toEqual([angstrom]);
  expect(await find('companies', 'mircosystems')).toEqual([angstrom]);
  expect(await find('research', 'angstorm')).toEqual([research]);
  expect(await find('companies', 'xqzvwk')).toEqual([]);
});

test('research is found by its company, also after the company was renamed', async () => {
  const { find, company, tenantId, campaignId } = await aWorld();
  const companyId = await company({ name: 'Before Ltd', domain: 'labels.example' });
  const id = await aResearch(db, { tenantId, campaignId, companyId });
  expect(await find('research', 'before')).toEqual([id]);
  expect(await find('research', 'labels')).toEqual([id]);
  await db.query(sql('test.rename')`update companies set name = 'Afterwards Ltd' where id = ${companyId}`);
  expect(await find('research', 'afterwards')).toEqual([id]);
  expect(await find('research', '"before"')).toEqual([]);
});

test('updates and deletes are followed', async () => {
  const { find, contact } = await aWorld();
  const id = await contact({ fullName: 'Ada Byron', email: 'ada@old.example' });
  await db.query(
    sql('test.update')`update contacts set full_name = 'Ada Lovelace', email = null where id = ${id}`,
  );
  expect(await find('contacts', 'lovelace')).toEqual([id]);
  expect(await find('contacts', '"byron"')).toEqual([]);
  expect(await find('contacts', '"old"')).toEqual([]);
  await db.query(sql('test.delete')`delete from contacts where id = ${id}`);
  expect(await find('contacts', 'lovelace')).toEqual([]);
});

test('within a campaign only its rows are found, typos included', async () => {
  const { find, contact, tenantId, campaignId } = await aWorld();
  const here = await contact({ fullName: 'Zebulon Pike' });
  const otherId = await aCampaign(db, tenantId);
  const there = await aContact(db, { tenantId, campaignId: otherId }, { fullName: 'Zebulon Vance' });
  expect(new Set(await find('contacts', 'zebulon'))).toEqual(new Set([here, there]));
  expect(await find('contacts', 'zebulon', { campaignId })).toEqual([here]);
  expect(await find('contacts', 'zebulno', { campaignId: otherId })).toEqual([there]);
  expect(await find('contacts', 'pike', { campaignId: otherId })).toEqual([]);
});

test('no tenant finds what another has, nor asks in its name, nor in its campaign', async () => {
  const mine = await aWorld();
  const theirs = await aWorld();
  await theirs.contact({ fullName: 'Rumpelstilzchen Secret' });
  for (const q of ['rumpelstilzchen', 'rumpelstilzchne', 'rumpel', 'secret or rumpelstilzchen']) {
    expect(await mine.find('contacts', q)).toEqual([]);
    expect(await mine.find('contacts', q, { campaignId: theirs.campaignId })).toEqual([]);
  }
  const forged = search(db.asApi.forTenant(mine.tenantId), theirs.tenantId, 'contacts', {
    q: 'secret',
    limit: 10,
  });
  await expect(forged).rejects.toMatchObject({ code: '42501' });
  const unbound = search(db.asApi, theirs.tenantId, 'contacts', { q: 'secret', limit: 10 });
  await expect(unbound).rejects.toMatchObject({ code: '42501' });
  const worker = await search(db.asWorker, theirs.tenantId, 'contacts', { q: 'secret', limit: 10 });
  expect(worker.hits).toHaveLength(1);
});

test('tenants whose ids end alike share words of the index, never rows', async () => {
  const ids = ['0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10', '0198f0c3-6a44-7c11-9d1f-3f1b7a5e2c10'];
  await db.query(sql('test.alike')`insert into auth.users (id) select unnest(${ids}::uuid[])`);
  const found = [];
  for (const tenantId of ids) {
    const campaignId = await aCampaign(db, tenantId);
    const id = await aContact(db, { tenantId, campaignId }, { fullName: `Twin ${tenantId}` });
    // Enough newer rows for the index to be asked.
    await db.query(sql('test.filler')`insert into contacts (user_id, campaign_id, full_name)
      select ${tenantId}, ${campaignId}, 'Filler' from generate_series(1, 1000)`);
    found.push({ tenantId, id });
  }
  for (const { tenantId, id } of found) {
    const page = await search(db.asApi.forTenant(tenantId), tenantId, 'contacts', { q: 'twin', limit: 10 });
    expect(page.hits.map((hit) => hit.id)).toEqual([id]);
  }
});

test('a campaign that is being deleted hides nothing of the others', async () => {
  const { tenantId, company } = await aWorld();
  const id = await company({ name: 'Zeta Ltd' });
  await db.query(sql('t')`update companies set created_at = now() - interval '1 day' where id = ${id}`);
  const going = await aCampaign(db, tenantId);
  // As many as are looked through one by one, and some of them match.
  await db.query(sql('test.filler')`
    insert into companies (user_id, campaign_id, name, domain, natural_key)
    select ${tenantId}, ${going}, case when n % 10 = 0 then 'Zeta ' else 'Other ' end || n, n || '.example', n || '.example'
    from generate_series(1, 20500) n`);
  await db.query(sql('t')`update campaigns set deleted_at = now() where id = ${going}`);
  const found = await search(db.asApi.forTenant(tenantId), tenantId, 'companies', {
    q: '"zeta ltd" or "zeta"',
    limit: 10,
  });
  expect(found.hits).toMatchObject([{ id, way: 'exact' }]);
});
