import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { aCampaign, someCompanies } from '../support/factories.ts';

const t = sql('t');

/** A campaign in the archive: `companies` companies, and as many contacts `person-N@MARK.example`. */
export async function anArchive(
  db: Db,
  tenantId: string,
  { companies = 3, mark = 'acme', name = 'Old one' } = {},
) {
  const campaignId = await aCampaign(db, tenantId, { name });
  const companyIds = await someCompanies(db, tenantId, campaignId, companies);
  await db.query(t`
    insert into contacts (user_id, campaign_id, company_id, full_name, email, attributes)
    select ${tenantId}, ${campaignId}, id, 'Person ' || n, 'Person-' || n || '@' || ${mark}::text || '.example',
      jsonb_build_object('n', n, 'big', 12345678901234567890.123456789)
    from unnest(${companyIds}::uuid[]) with ordinality c (id, n)`);
  await db.query(t`insert into company_research (user_id, campaign_id, company_id, kind, summary, findings)
    select ${tenantId}, ${campaignId}, id, 'company', 'A summary', '{"a": [1, 2.50]}' from unnest(${companyIds}::uuid[]) id`);
  await db.query(t`insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email)
    select user_id, campaign_id, company_id, id, company_id || '@found.example', 'Found', company_id || '@found.example'
    from company_research where campaign_id = ${campaignId}`);
  await archive(db, tenantId, campaignId);
  return { campaignId, companyIds };
}

export async function archive(db: Db, tenantId: string, id: string): Promise<void> {
  await db.query(t`insert into archived_campaigns (id, user_id, name, campaign, state, schema_version, archived_at, checksum)
    select id, user_id, name, to_jsonb(c), 'archived', '1', now(), sha256('x') from campaigns c where id = ${id}`);
  for (const table of ['companies', 'contacts', 'company_research', 'prospect_research']) {
    await db.query({
      statement: 't',
      text: `with kept as (
          select jsonb_agg(jsonb_build_array(attname, format_type(atttypid, null))
              || case when atttypid = 'jsonb'::regtype then '["wrapped"]'::jsonb else '[]' end order by attnum) as columns
          from pg_attribute where attrelid = $2::regclass and attnum > 0 and not attisdropped
            and attname not in ('user_id', 'campaign_id', 'search_vector')
        ), chunk as (
          select part, count(*) as n, aim.chunk_of(jsonb_agg((
            select jsonb_agg(case when c.value ->> 1 = 'jsonb' then jsonb_build_array(to_jsonb(t) -> (c.value ->> 0))
              else to_jsonb(t) -> (c.value ->> 0) end order by c.place)
            from kept, jsonb_array_elements(kept.columns) with ordinality c (value, place)
          ) order by created_at, id)) as rows
          from (select *, (row_number() over (order by created_at, id) - 1) / 1000 as part from ${table} where campaign_id = $1::uuid) t
          group by part
        )
        insert into archive_chunks (archive_id, table_name, number, user_id, row_count, sha256, columns, rows)
        select $1, $2, part + 1, $3, n, aim.chunk_sha256(columns, rows), columns, rows from chunk, kept`,
      values: [id, table, tenantId],
    });
  }
  await db.query(t`update archived_campaigns set totals = (
      select jsonb_object_agg(case table_name when 'company_research' then 'research' when 'prospect_research' then 'prospects'
        else table_name end, rows)
      from (select table_name, sum(row_count) as rows from archive_chunks where archive_id = ${id} group by 1) counted)
    where id = ${id}`);
  await db.query(t`delete from companies where campaign_id = ${id}`);
  await db.query(t`delete from contacts where campaign_id = ${id}`);
  await db.query(t`update campaigns set archived = true, archived_at = now() where id = ${id}`);
}
