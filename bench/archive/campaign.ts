import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { createCampaign } from '../../core/campaigns/create.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Fragment, sql } from '../../core/db/sql.ts';
import { root } from '../../local/stack/paths.ts';
import { aProvider } from '../../test/support/factories.ts';
import { withoutSecondaryIndexes } from '../schema/million.ts';
import * as words from './words.ts';

export const tables = [
  'companies',
  'contacts',
  'research_batches',
  'research_jobs',
  'research_attempts',
  'company_research',
  'prospect_research',
] as const;

export interface Wanted {
  companies: number;
  contactsPerCompany?: number;
  /** A batch with a job and its attempts for each company, what was found, and a prospect. */
  researched?: boolean;
}

/** Ten rows for each company: five contacts, a job, an attempt or two, research and a prospect for nearly each. */
export const ofRows = (rows: number): Wanted => ({ companies: rows / 10, researched: true });

/** Names of real companies and their websites: of the project's own example or, `BENCH_COMPANIES`, any CSV with both. */
function examples(): { name: string; website: string }[] {
  const file = process.env.BENCH_COMPANIES ?? join(root, 'examples/companies.csv');
  const rows: Record<string, string>[] = parse(readFileSync(file), { columns: true, bom: true });
  const host = (url: string) => /^(?:https?:\/\/)?(?:www\.)?([^/\s]+)/.exec(url.toLowerCase())?.[1] ?? '';
  return rows
    .map(({ name = '', website = '', domain }) => ({ name, website: domain ?? host(website) }))
    .filter(({ name, website }) => name !== '' && website !== '');
}

/**
 * Campaigns that look as if they had been imported over some weeks, a thousand rows a call, and then researched: names,
 * sentences and numbers are drawn at random, so that they compress no better than real ones. The secondary indexes are
 * made afterwards, which leaves them as small as they can be.
 * @returns their ids
 */
export async function load(db: Db, tenantId: string, wanted: Wanted[]): Promise<string[]> {
  const { id: providerId } = await aProvider(db, tenantId, { name: `provider-${randomUUID()}` });
  const ids: string[] = [];
  const all = async () => {
    for (const each of wanted) {
      const { id } = await createCampaign({ db }, tenantId, { name: 'Spring 2026, DACH and Nordics' });
      await fill(db, { tenantId, campaignId: id, providerId }, each);
      ids.push(id);
    }
  };
  await tables.reduce<() => Promise<unknown>>(
    (inner, table) => () => withoutSecondaryIndexes(db, table, inner),
    all,
  )();
  return ids;
}

interface Owner {
  tenantId: string;
  campaignId: string;
  providerId: string;
}

async function fill(
  db: Db,
  { tenantId, campaignId, providerId }: Owner,
  { companies, contactsPerCompany = 5, researched = false }: Wanted,
): Promise<void> {
  const real = examples();
  const owner = sql.fragment`${tenantId}::uuid, ${campaignId}::uuid`;
  const ofCampaign = sql.fragment`where campaign_id = ${campaignId}`;
  await db.query(sql('bench.companies')`
    insert into companies (id, user_id, campaign_id, name, domain, natural_key, attributes, created_at, updated_at)
    select uuidv7(made - now()), ${owner}, coalesce(real[n], name || ' ' || ${pick(words.forms)}), domain, domain,
      jsonb_build_object('country', ${pick(words.suffixes)}, 'employees', ceil(exp(random() * 11)),
        'city', name || ' ' || ${pick(words.lastNames)}, 'score', round(random()::numeric, 3)), made, made
    from (select ${real.map(({ name }) => name)}::text[] as real, ${real.map(({ website }) => website)}::text[] as site) l
    cross join generate_series(1, ${companies}::int) n
    cross join lateral (
      select initcap(${syllable(sql.fragment`n`, 0)} || ${syllable(sql.fragment`n`, 1)}
        || ${syllable(sql.fragment`n`, 2)} || ${syllable(sql.fragment`n`, 3)}) as name, ${madeAt(sql.fragment`n`)} as made
    ) m
    cross join lateral (
      select coalesce(site[n], lower(name) || '-' || ${pick(words.functions)} || '.') || case when site[n] is null
        then ${pick(words.suffixes)} else '' end as given
    ) g
    cross join lateral (select lower(given) as domain) d
    on conflict do nothing`);
  await db.query(sql('bench.contacts')`
    insert into contacts
      (id, user_id, campaign_id, company_id, full_name, email, title, phone, linkedin, attributes, created_at, updated_at)
    select uuidv7(made - now()), ${owner}, company_id, first || ' ' || last,
      lower(first || '.' || last) || case when twice > 1 then twice::text else '' end || '@' || domain, title,
      case when random() < 0.6 then '+' || (10 + random() * 89)::int || ' ' || (100000000 * random() + 10000000)::bigint end,
      case when random() < 0.8 then 'https://www.linkedin.com/in/' || lower(first || '-' || last) || '-'
        || substr(md5(random()::text), 1, 8) end,
      jsonb_build_object('source', ${pick(words.sources)}, 'score', round(random()::numeric, 3),
        'owner', ${pick(words.firstNames)}, 'note', ${sentence(8)}),
      made, case when random() < 0.3 then made + random() * interval '40 days' else made end
    from (
      select p.*, row_number() over (partition by company_id, first, last) as twice from (
        select c.id as company_id, c.domain, n, ${pick(words.firstNames)} as first, ${pick(words.lastNames)} as last,
          ${pick(words.seniorities)} || ' of ' || ${pick(words.functions)} as title, ${madeAt(sql.fragment`n`)} as made
        from (select id, domain, row_number() over (order by created_at, id) as place from companies ${ofCampaign}) c
        cross join generate_series(1, ${contactsPerCompany}::int) each
        cross join lateral (select (place - 1) * ${contactsPerCompany}::int + each as n) o
      ) p
    ) q
    order by n`);
  if (!researched) return;
  await research(db, { tenantId, campaignId, providerId });
}

async function research(db: Db, { tenantId, campaignId, providerId }: Owner): Promise<void> {
  const owner = sql.fragment`${tenantId}::uuid, ${campaignId}::uuid`;
  await db.query(sql('bench.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, total, status, finished_at, sealed_at, expanded_at)
    select ${owner}, ${providerId}, 'company', count(*), 'completed', now(), now(), now()
    from companies where campaign_id = ${campaignId}`);
  await db.query(sql('bench.jobs')`
    insert into research_jobs (id, user_id, batch_id, company_id, campaign_id, provider_id, kind, status, retry_count,
      error_code, error_message, run_at, attempt_id, created_at, updated_at, finished_at)
    select uuidv7(made - now()), ${tenantId}, b.id, c.id, ${campaignId}, ${providerId}, 'company',
      case when failed then 'failed' else 'completed' end, case when again then 1 else 0 end,
      case when failed then 'not_found' end, case when failed then ${sentence(9)} end,
      made, gen_random_uuid(), made, ended, ended
    from companies c join research_batches b on b.campaign_id = c.campaign_id
    cross join lateral (select c.created_at + interval '20 days' as made, random() < 0.05 and c.id is not null as failed,
      random() < 0.1 and c.id is not null as again) m
    cross join lateral (select made + random() * interval '3 hours' as ended) e
    where c.campaign_id = ${campaignId} order by c.created_at, c.id`);
  await db.query(sql('bench.attempts')`
    insert into research_attempts
      (id, user_id, job_id, provider_id, ask_id, outcome, http_status, latency_ms, started_at, finished_at)
    select case n when 0 then j.attempt_id else gen_random_uuid() end, j.user_id, j.id, j.provider_id, gen_random_uuid(),
      case when n = 1 then 'retried' else j.status end, case n when 1 then 503 else 200 end, (exp(random() * 8))::int,
      j.finished_at - interval '1 min' - n * interval '20 min', j.finished_at - n * interval '20 min'
    from research_jobs j cross join lateral generate_series(0, j.retry_count) n where j.batch_id in (
      select id from research_batches where campaign_id = ${campaignId}
    ) order by j.created_at, j.id`);
  const url = sql.fragment`'https://' || c.domain || '/' || ${pick(words.prose)} || '/' || (random() * 100000)::int`;
  await db.query(sql('bench.findings')`
    insert into company_research
      (id, user_id, campaign_id, company_id, kind, summary, findings, sources, job_id, created_at, updated_at)
    select uuidv7(j.finished_at - now()), ${owner}, c.id, 'company', ${sentence(40)}, jsonb_build_object(
        'employees', (exp(random() * 11))::int, 'founded', 1900 + (random() * 124)::int,
        'revenue', jsonb_build_object('amount', (random() * 1e9)::bigint, 'currency', 'EUR', 'year', 2025),
        'technologies', jsonb_build_array(${pick(words.technologies)}, ${pick(words.technologies)},
          ${pick(words.technologies)}, ${pick(words.technologies)}),
        'news', jsonb_build_array(jsonb_build_object('title', ${sentence(10)}, 'url', ${url}),
          jsonb_build_object('title', ${sentence(10)}, 'url', ${url})),
        'fit', round(random()::numeric, 4)),
      jsonb_build_array(${url}, ${url}), j.id, j.finished_at, j.finished_at
    from research_jobs j join companies c on c.id = j.company_id
    where c.campaign_id = ${campaignId} and j.status = 'completed' order by j.created_at, j.id`);
  await db.query(sql('bench.prospects')`
    insert into prospect_research (id, user_id, campaign_id, company_id, company_research_id, natural_key, full_name,
      email, title, attributes, created_at, updated_at)
    select uuidv7(r.created_at - now()), ${owner}, c.id, r.id, email, first || ' ' || last, email,
      ${pick(words.seniorities)} || ' of ' || ${pick(words.functions)},
      jsonb_build_object('confidence', round(random()::numeric, 3), 'seenAt', ${url}), r.created_at, r.created_at
    from company_research r join companies c on c.id = r.company_id
    cross join lateral (select ${pick(words.firstNames)} as first, ${pick(words.lastNames)} as last where r.version > 0) p
    cross join lateral (select lower(first || '.' || last) || '@' || c.domain as email) e
    where r.campaign_id = ${campaignId} order by r.created_at, r.id`);
}

/** One of them, the first ones more often, as names are. */
function pick(list: string[]): Fragment {
  return sql.fragment`(${list}::text[])[1 + floor(power(random(), 1.5) * ${list.length}::int)::int]`;
}

function sentence(length: number): Fragment {
  const all = Array.from({ length }, () => pick(words.prose));
  return sql.fragment`concat_ws(' ', ${all.reduce((text, word) => sql.fragment`${text}, ${word}`)})`;
}

/** A number as syllables, each number another name; neighbours differ in all of them. */
function syllable(n: Fragment, place: number): Fragment {
  const many = words.syllables.length;
  return sql.fragment`(${words.syllables}::text[])[
    1 + ((${n}::bigint * 1000003) % ${many ** 4}::bigint / ${many ** place}::bigint % ${many}::int)::int]`;
}

/** A thousand rows are one call, and have one time. */
const madeAt = (n: Fragment) =>
  sql.fragment`(now() - interval '60 days' + (${n} / 1000) * interval '1.234567 s')`;
