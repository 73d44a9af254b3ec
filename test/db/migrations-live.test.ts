import { readdirSync } from 'node:fs';
import pg from 'pg';
import { type Connection, connect, type Db } from '../../core/db/connect.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { sql } from '../../core/db/sql.ts';
import { wrongCounts } from '../support/counts.ts';
import { aTenant } from '../support/factories.ts';
import { supabaseOn15 } from '../support/postgres15.ts';

/** The first release; what came later meets rows and people. */
const released = 3;
const files = readdirSync('migrations').filter((name) => name.endsWith('.sql'));

/** Blocked for as long as this, a writer would have had an outage. */
const outageMs = 5_000;

interface Site {
  url: string;
  close(): Promise<void>;
}

async function on18(): Promise<Site> {
  const admin = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL });
  await admin.connect();
  await admin.query('drop database if exists test_live with (force)');
  await admin.query('create database test_live');
  const url = new URL(process.env.TEST_DATABASE_URL ?? '');
  url.pathname = '/test_live';
  return {
    url: url.href,
    async close() {
      await admin.query('drop database test_live with (force)');
      await admin.end();
    },
  };
}

async function on15(): Promise<Site> {
  const { url, stop } = await supabaseOn15();
  return { url, close: stop };
}

describe.each([
  ['18', on18],
  ['15', on15],
])('on Postgres %s', (_version, start) => {
  let site: Site;
  let db: Connection;
  beforeAll(async () => {
    site = await start();
    db = connect(site.url, { max: 4 });
  });
  afterAll(async () => {
    await db.close();
    await site.close();
  });

  test('every migration goes up, down and up again while people write and read', async () => {
    expect(await applyMigrations(site.url, { count: released })).toHaveLength(released);
    const tenantId = await aTenant(db);
    const world = await fill(db, tenantId, 3_000);
    const people = [
      writer(db, tenantId, world),
      writer(db, tenantId, world),
      reader(db, world),
      reader(db, world),
    ];

    const moves: string[] = [];
    const move = async (direction: 'up' | 'down') =>
      moves.push(...(await applyMigrations(site.url, { direction, count: 1, patienceMs: 20_000 })));
    try {
      for (const _ of files.slice(released)) for (const to of ['up', 'down', 'up'] as const) await move(to);
    } finally {
      for (const person of people) person.leave();
    }
    const reports = await Promise.all(people.map((person) => person.report));
    const names = files.slice(released).map((file) => file.replace('.sql', ''));
    expect(moves).toEqual(names.flatMap((name) => [name, name, name]));
    expect(reports.flatMap((report) => report.errors)).toEqual([]);
    for (const report of reports) {
      expect(report.rounds).toBeGreaterThan(5);
      expect(report.longestMs).toBeLessThan(outageMs);
    }
    const written = reports.reduce((sum, report) => sum + report.written, 0);
    const [found] = await db.query<{ count: number }>(sql('test.found')`
      select count(*) from contacts where email like 'live-%'`);
    expect(found?.count).toBe(written);
    expect(await wrongCounts(db)).toEqual([]);
  }, 120_000);
});

interface Filled {
  campaignId: string;
  batchId: string;
}

/** Some thousand rows of everything the first release has. */
async function fill(db: Db, tenantId: string, rows: number): Promise<Filled> {
  const [filled] = await db.query<Filled>(sql('test.fill')`
    with campaign as (
      insert into campaigns (user_id, name) values (${tenantId}, 'live') returning id
    ), company as (
      insert into companies (user_id, campaign_id, name, domain, natural_key)
      select ${tenantId}, campaign.id, 'Company ' || n, n || '.example', n || '.example'
      from campaign, generate_series(1, ${rows}::int) n returning id, campaign_id
    ), person as (
      insert into contacts (user_id, campaign_id, full_name, email)
      select ${tenantId}, campaign.id, 'Person ' || n, 'person-' || n || '@live.example'
      from campaign, generate_series(1, ${rows}::int) n
    ), provider as (
      insert into research_providers (user_id, name, kind, url, secret)
      values (${tenantId}, 'live', 'webhook', 'http://127.0.0.1:9/', 'whsec_bGl2ZQ==') returning id
    ), batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, total)
      select ${tenantId}, campaign.id, provider.id, 'company', ${rows} from campaign, provider
      returning id, campaign_id, provider_id
    ), job as (
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
      select ${tenantId}, batch.id, company.id, batch.campaign_id, batch.provider_id, 'company' from batch, company
      returning id, provider_id
    ), attempt as (
      insert into research_attempts (id, user_id, job_id, provider_id, ask_id)
      select uuidv7(), ${tenantId}, id, provider_id, uuidv7() from job
    ), research as (
      insert into company_research (user_id, campaign_id, company_id, kind, summary)
      select ${tenantId}, campaign_id, id, 'company', 'found' from company returning id, campaign_id, company_id
    ), prospect as (
      insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name)
      select ${tenantId}, campaign_id, company_id, id, 'ada', 'Ada' from research
    ), letter as (
      insert into dead_letters (queue, message_id, body, fingerprint, error_code, reason)
      select 'research', n::text, 'x', 'f', 'unreadable_message', 'test' from generate_series(1, ${rows}::int) n
    )
    select campaign.id as "campaignId", batch.id as "batchId" from campaign, batch`);
  if (!filled) throw new Error('nothing was filled in');
  return filled;
}

/** Does a round again and again, and remembers how long the longest took and what went wrong. */
function person(round: (number: number) => Promise<number>) {
  const report = { rounds: 0, written: 0, longestMs: 0, errors: [] as unknown[] };
  let going = true;
  const life = async () => {
    while (going) {
      const startedAt = performance.now();
      try {
        report.written += await round(report.rounds);
      } catch (error) {
        report.errors.push(error);
        going = false;
      }
      report.longestMs = Math.max(report.longestMs, performance.now() - startedAt);
      report.rounds++;
    }
    return report;
  };
  return {
    report: life(),
    leave() {
      going = false;
    },
  };
}

let writers = 0;

function writer(db: Db, tenantId: string, { campaignId, batchId }: Filled) {
  const self = ++writers;
  return person((round) =>
    db.transaction(async (tx) => {
      await tx.query(sql('test.hold')`select id from campaigns where id = ${campaignId} for key share`);
      await tx.query(sql('test.companies')`
        insert into companies (user_id, campaign_id, name, natural_key)
        select ${tenantId}, ${campaignId}, 'New', 'name:' || ${`${self} ${round}`} || ' ' || n from generate_series(1, 5) n`);
      await tx.query(sql('test.contacts')`
        insert into contacts (user_id, campaign_id, full_name, email)
        select ${tenantId}, ${campaignId}, 'New', 'live-' || ${`${self}-${round}`} || '-' || n || '@live.example'
        from generate_series(1, 10) n`);
      await tx.query(sql('test.rename')`
        update contacts set title = ${`round ${round}`}, version = version + 1, updated_at = now()
        where campaign_id = ${campaignId} and lower(email) = ${`live-${self}-${round}-1@live.example`}`);
      await tx.query(sql('test.jobs')`
        update research_jobs set priority = ${round % 10}, updated_at = now() where id in (
          select id from research_jobs where batch_id = ${batchId} order by company_id limit 5 for update skip locked)`);
      return 10;
    }),
  );
}

function reader(db: Db, { campaignId }: Filled) {
  return person(async () => {
    await db.query(sql('test.page')`
      select id, full_name, email from contacts where campaign_id = ${campaignId} order by created_at desc, id desc limit 100`);
    await db.query(sql('test.page')`
      select id, name from companies where campaign_id = ${campaignId} order by created_at, id limit 100`);
    await new Promise((resolve) => setTimeout(resolve, 2));
    return 0;
  });
}
