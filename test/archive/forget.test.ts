import { runErasure, startErasure } from '../../core/archive/forget/erase.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { Conflict } from '../../core/errors.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { tracesOf } from './traces.ts';

const t = sql('t');
let db: TestDatabase;
let people = 0;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const quiet = { info: () => undefined, warn: () => undefined };
const depsOf = (at: Db = db.asWorker) => ({
  db: at,
  log: quiet,
  clock: Date.now,
  sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
});

async function forget(tenantId: string, email: string, remainingMs = () => 60_000) {
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, email);
  return { id, ...(await runErasure(depsOf(), { erasureId: id, tenantId, email }, { remainingMs })) };
}
const erasure = async (id: string) =>
  (
    await db.query<{ counts: Record<string, number>; finished_at: string | null }>(
      t`select counts, finished_at from erasures where id = ${id}`,
    )
  )[0];

/** A tenant whose every table names this person, in every way of writing it that we know. */
async function aKnownPerson() {
  const email = `ann.${++people}@known.example`;
  const loud = `Ann.${people}@Known.EXAMPLE`;
  const world = await aWorld(db, { companies: 2 });
  const { tenantId, campaignId, companyIds, provider } = world;
  const [companyId = ''] = companyIds;
  await db.query(t`update companies set name = ${`Mail ${loud}!`}, domain = null, natural_key = ${`name:mail ${email}!`},
    attributes = ${JSON.stringify({ owner: `First line\n${email}`, [email]: 1 })}::jsonb where id = ${companyId}`);
  await db.query(
    t`insert into contacts (user_id, campaign_id, full_name, email) values (${tenantId}, ${campaignId}, 'Ann', ${loud})`,
  );
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, email, linkedin, attributes)
    values (${tenantId}, ${campaignId}, 'Bob', 'bob@known.example', ${`in/${email}`},
      ${JSON.stringify({ boss: [email], joined: `jo${email}`, exact: 0 }).replace('"exact":0', '"exact":12345678901234567890.50')}::jsonb)`);
  const [research] = await db.query<{ id: string }>(t`
    insert into company_research (user_id, campaign_id, company_id, kind, summary, findings, sources)
    values (${tenantId}, ${campaignId}, ${companyId}, 'company', ${`Write to ${loud}.`},
      ${JSON.stringify({ people: [{ mail: email }] })}::jsonb,
      ${JSON.stringify([`https://x.example/?to=${email.replace('@', '%40')}`])}::jsonb) returning id`);
  await db.query(t`insert into prospect_research
    (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email)
    values (${tenantId}, ${campaignId}, ${companyId}, ${research?.id}, ${email}, 'Ann', ${email})`);
  await db.query(t`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind) values (${tenantId}, ${campaignId}, ${provider.id}, 'company')
      returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, finished_at, error_code, error_message)
    select ${tenantId}, id, ${companyId}, ${campaignId}, ${provider.id}, 'company', 'failed', now(), 'x', ${`no reply from ${email}`}
    from batch`);
  await db.query(t`insert into research_attempts (id, user_id, job_id, provider_id, ask_id, outcome)
    select gen_random_uuid(), user_id, id, provider_id, gen_random_uuid(), 'retried' from research_jobs where campaign_id = ${campaignId}`);
  await db.query(t`insert into late_results (attempt_id, user_id, job_id, summary, findings, sources, prospects)
    select a.id, a.user_id, a.job_id, ${`ask ${loud}`}, ${JSON.stringify({ [email]: 1 })}::jsonb, ${JSON.stringify([email])}::jsonb,
      ${JSON.stringify([
        { fullName: 'Ann Known', email: loud, naturalKey: email },
        { fullName: 'Bob', email: 'bob@known.example', title: `not ${email}` },
      ])}::jsonb
    from research_attempts a join research_jobs j on j.id = a.job_id where j.campaign_id = ${campaignId}`);
  await db.query(t`update campaigns set name = ${`All about ${email}`} where id = ${campaignId}`);
  await db.query(t`insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
    values (${tenantId}, 'research', ${email.length + people}, ${Buffer.concat([Buffer.from([0, 255]), Buffer.from(`<${loud}>`)])},
      'x', 'x', ${`cannot read ${email}`})`);
  await db.query(t`insert into idempotency_keys (user_id, key, request_hash, status, answer)
    values (${tenantId}, 'a', ${Buffer.alloc(32)}, 200, ${JSON.stringify({ email })}::jsonb),
      (${tenantId}, ${`for:${email}`}, ${Buffer.alloc(32)}, 200, '{}')`);
  return { ...world, email };
}

test('a person is in no table any more, in whatever way it was written, and others are as they were', async () => {
  const { tenantId, email, campaignId } = await aKnownPerson();
  expect((await tracesOf(db, email)).length).toBeGreaterThan(7);
  const { id, done } = await forget(tenantId, email.toUpperCase());
  expect(done).toBe(true);
  const left = await db.query<{ attributes: unknown; linkedin: string; text: string }>(t`
    select attributes, attributes::text as text, linkedin from contacts where campaign_id = ${campaignId}`);
  // Another person's address ends with this one's; it stays.
  expect(left).toHaveLength(1);
  expect(left[0]?.attributes).toMatchObject({ boss: ['[erased]'], joined: `jo${email}` });
  expect(left[0]?.text).toContain('12345678901234567890.50');
  expect(left[0]?.linkedin).toBe('in/[erased]');
  await db.query(t`update contacts set attributes = '{}' where campaign_id = ${campaignId}`);
  expect(await tracesOf(db, email)).toEqual([]);
  expect(await tracesOf(db, email.replace('@', '%40'))).toEqual([]);
  // Her name goes with her, and Bob stays.
  expect(await tracesOf(db, 'Ann Known')).toEqual([]);
  const [late] = await db.query<{ prospects: unknown }>(
    t`select prospects from late_results where user_id = ${tenantId}`,
  );
  expect(late?.prospects).toEqual([{ fullName: 'Bob', email: 'bob@known.example', title: 'not [erased]' }]);
  expect(await erasure(id)).toMatchObject({
    counts: {
      contacts: 2,
      prospect_research: 1,
      company_research: 1,
      companies: 1,
      research_jobs: 1,
      late_results: 1,
      campaigns: 1,
      dead_letters: 1,
      idempotency_keys: 2,
    },
  });
});

test('asked again it changes nothing, and another tenant keeps what he knows', async () => {
  const { tenantId, email } = await aKnownPerson();
  const other = await aWorld(db, { companies: 0 });
  await db.query(
    t`insert into contacts (user_id, campaign_id, email) values (${other.tenantId}, ${other.campaignId}, ${email})`,
  );
  const before = await tracesOf(db, email);
  expect(before).toContain('contacts');
  await forget(tenantId, email);
  const again = await forget(tenantId, email);
  expect(again).toMatchObject({ done: true, rows: 0 });
  expect((await erasure(again.id))?.counts).toEqual({});
  const kept = await db.query(
    t`select id from contacts where user_id = ${other.tenantId} and email = ${email}`,
  );
  expect(kept).toHaveLength(1);
});

test('cut off after any step, it goes on there and comes to the same end', async () => {
  const { tenantId, email, campaignId } = await aKnownPerson();
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, attributes)
    select ${tenantId}, ${campaignId}, 'Person ' || n, jsonb_build_object('boss', ${email}::text) from generate_series(1, 2500) n`);
  let runs = 0;
  for (let done = false; !done; runs++) {
    let steps = 0;
    ({ done } = await forget(tenantId, email, () => (steps++ < 1 ? 60_000 : 0)));
    expect(runs).toBeLessThan(60);
  }
  expect(runs).toBeGreaterThan(8);
  await db.query(t`update contacts set attributes = attributes - 'joined' where campaign_id = ${campaignId}`);
  expect(await tracesOf(db, email)).toEqual([]);
  const [last] = await db.query<{ n: number }>(t`
    select (counts ->> 'contacts')::int as n from erasures where user_id = ${tenantId}`);
  expect(last?.n).toBe(2502);
});

test('an address given wrong on the way on changes nothing', async () => {
  const { tenantId, email } = await aKnownPerson();
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, email);
  const before = await tracesOf(db, 'bob@known.example');
  await runErasure(
    depsOf(),
    { erasureId: id, tenantId, email: 'bob@known.example' },
    { remainingMs: () => 60_000 },
  );
  expect(await tracesOf(db, 'bob@known.example')).toEqual(before);
  expect((await erasure(id))?.finished_at).toBeNull();
});

test('an address outside ASCII goes from bytes too, and one that only ends like it stays there', async () => {
  const { tenantId } = await aWorld(db, { companies: 0 });
  const email = 'jürgen@große-firma.example';
  const body = Buffer.from(`{"to":"${email}","cc":"hans.${email}","raw":"\\0"}`);
  await db.query(t`insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
    values (${tenantId}, 'research', ${email}, ${body}, 'x', 'x', 'x')`);
  await db.query(t`update dead_letters set message_id = 'plain' where message_id = ${email}`);
  await forget(tenantId, email);
  const [letter] = await db.query<{ body: Buffer }>(
    t`select body from dead_letters where user_id = ${tenantId}`,
  );
  expect(letter?.body.toString()).toBe(body.toString().replace(`"${email}"`, '"[erased]"'));
});

test('whose email is the address in another dress goes as a whole, and whose only looks like it stays', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 0 });
  const dressed = [
    'mailto:ann@known.example',
    '<Ann@Known.example>,',
    "'ann@known.example'",
    'ann@known.example?subject=x',
  ];
  const others = [
    'joann@known.example',
    "o'ann@known.example",
    'x/ann@known.example',
    'a=ann@known.example',
    'mailto:ann@known.example.org',
    'mailto:bob@known.example',
  ];
  const rows = [...dressed, ...others].map((email) => ({ email, fullName: 'Somebody' }));
  const { counts } = await upsertContacts({ db: db.asApi.forTenant(tenantId) }, tenantId, {
    campaignId,
    rows,
  });
  expect(counts.created).toBe(rows.length);
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, email)
    values (${tenantId}, ${campaignId}, 'Ann', ' Ann Smith <ann@known.example> (work)'),
      (${tenantId}, ${campaignId}, 'Both', 'ann@known.example;kim@known.example')`);
  const both = '[erased];kim@known.example ID';
  const left = async () => {
    const found = await db.query<{ email: string }>(t`
      select regexp_replace(email, '[0-9a-f]{12}$', 'ID') as email from contacts where user_id = ${tenantId}`);
    return found.map(({ email }) => email).sort();
  };
  expect(await forget(tenantId, 'ann@known.example')).toMatchObject({ done: true });
  expect(await left()).toEqual([both, ...others].sort());
  expect(await forget(tenantId, 'bob@known.example')).toMatchObject({ done: true });
  expect(await left()).toEqual([both, ...others.slice(0, -1)].sort());
});

test('an email of several addresses keeps the others, and stays the only one of its kind', async () => {
  const { tenantId, campaignId, companyIds } = await aWorld(db, { companies: 1 });
  for (const one of ['ann', 'cy'])
    await db.query(t`insert into contacts (user_id, campaign_id, full_name, email)
      values (${tenantId}, ${campaignId}, 'Two', ${`${one}@known.example, bob@known.example`})`);
  await db.query(t`
    with research as (
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${tenantId}, ${campaignId}, ${companyIds[0]}, 'company') returning id
    )
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, email)
    select ${tenantId}, ${campaignId}, ${companyIds[0]}, id, 'email:' || email, email
    from research, unnest(array['ann@known.example, bob@known.example', 'cy@known.example, bob@known.example']) email`);
  for (const one of ['ann', 'cy'])
    expect(await forget(tenantId, `${one}@known.example`)).toMatchObject({ done: true });
  const two = Array(2).fill({ email: '[erased], bob@known.example ', own: true });
  for (const rows of [
    t`select left(email, -12) as email, right(email, 12) = right(id::text, 12) as own from contacts where user_id = ${tenantId}`,
    t`select substr(left(natural_key, -12), 7) as email, right(natural_key, 12) = right(id::text, 12) as own
      from prospect_research where user_id = ${tenantId}`,
  ])
    expect(await db.query(rows)).toEqual(two);
  // The last one takes the row along.
  await forget(tenantId, 'bob@known.example');
  expect(await db.query(t`select id from contacts where user_id = ${tenantId}`)).toEqual([]);
  expect(await db.query(t`select id from prospect_research where user_id = ${tenantId}`)).toEqual([]);
});

test('an address goes from URLs, in whatever part of it is encoded, and one that only ends like it stays there', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 0 });
  const emails = ['ann+news@known.example', "o'ann@known.example", 'jürgen@große-firma.example'];
  const encoded = emails.map(encodeURIComponent);
  const written = [
    ...encoded,
    ...encoded.map((text) => text.toLowerCase()),
    ...encoded.map((text) => text.replace('%40', '@')),
    ...emails.map((text) => text.replace('@', '%40')),
    'o%27ann%40known.example',
  ];
  const others = ['jo%2Bann%2Bnews%40known.example', 'ann%2Bnews%40known.example.org'];
  const urls = [...written, ...others].map((text) => `https://x.example/?e=${text}&x=1`);
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, attributes)
    values (${tenantId}, ${campaignId}, 'Bob', ${JSON.stringify({ urls })}::jsonb)`);
  await db.query(t`insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
    values (${tenantId}, 'research', 'm', ${Buffer.from(urls.join(' '))}, 'x', 'x', 'x')`);
  for (const email of emails) expect(await forget(tenantId, email)).toMatchObject({ done: true });
  const left = urls.map((url, index) => (index < written.length ? 'https://x.example/?e=[erased]&x=1' : url));
  const [contact] = await db.query<{ urls: string[] }>(
    t`select attributes -> 'urls' as urls from contacts where user_id = ${tenantId}`,
  );
  expect(contact?.urls).toEqual(left);
  const [letter] = await db.query<{ body: Buffer }>(
    t`select body from dead_letters where user_id = ${tenantId}`,
  );
  expect(letter?.body.toString().split(' ')).toEqual(left);
});

test('an erasure that meets a campaign which is archived that moment looks again, and leaves nobody', async () => {
  const { tenantId, email } = await aKnownPerson();
  let steps = 0;
  const meeting: Db = {
    ...db.asWorker,
    transaction(work) {
      if (++steps === 3) return Promise.reject(new Conflict('campaign_archived', 'archived meanwhile'));
      return db.asWorker.transaction(work);
    },
  };
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, email);
  const asked = { erasureId: id, tenantId, email };
  expect(await runErasure(depsOf(meeting), asked, { remainingMs: () => 60_000 })).toMatchObject({
    done: true,
  });
  expect(steps).toBeGreaterThan(3);
  expect((await erasure(id))?.finished_at).not.toBeNull();
});
