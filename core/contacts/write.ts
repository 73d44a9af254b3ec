import type { RowResult } from '../contract/bulk.ts';
import type { Db } from '../db/connect.ts';
import { type Fragment, sql } from '../db/sql.ts';

export interface ParsedContact {
  index: number;
  company_id: string | null;
  full_name: string;
  email: string | null;
  title: string | null;
  phone: string | null;
  linkedin: string | null;
  attributes: Record<string, unknown>;
  /** Fields that replace what is there; others keep their value. */
  given: string[];
}

interface Row {
  index: number;
  key: string | null;
  first: number | null;
  id: string | null;
  version: number | null;
}

const given = (field: string): Fragment =>
  sql.fragment`(select fields from given) -> lower(excluded.email) ? ${field}`;
const values = sql.fragment`
  case when ${given('company')} then excluded.company_id else c.company_id end,
  case when ${given('fullName')} then excluded.full_name else c.full_name end,
  case when ${given('title')} then excluded.title else c.title end,
  case when ${given('phone')} then excluded.phone else c.phone end,
  case when ${given('linkedin')} then excluded.linkedin else c.linkedin end,
  case when ${given('attributes')} then excluded.attributes else c.attributes end`;

/**
 * One statement for all rows. Postgres itself decides which emails are the same (`lower`), so that a double within
 * the request is found by the same rule as one in the table.
 */
export async function writeContacts(
  tx: Db,
  tenantId: string,
  campaignId: string,
  rows: ParsedContact[],
): Promise<RowResult[]> {
  if (rows.length === 0) return [];
  const written = await tx.query<Row>(sql('contacts.upsert')`
    with input as materialized (
      select uuidv7() as new_id, lower(r.email) as key, r.*
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (
        index int, company_id uuid, full_name text, email text, title text, phone text, linkedin text,
        attributes jsonb, given jsonb)
    ), firsts as materialized (
      select distinct on (key) * from input where key is not null order by key, index
    ), given as (
      select jsonb_object_agg(key, given) as fields from firsts
    ), written as (
      insert into contacts as c (id, user_id, campaign_id, company_id, full_name, email, title, phone, linkedin, attributes)
      select new_id, ${tenantId}::uuid, ${campaignId}::uuid, company_id, full_name, email, title, phone, linkedin, attributes
      from (select * from firsts union all select * from input where key is null) i
      order by key nulls last, index
      on conflict (campaign_id, lower(email)) where email is not null do update
      set (company_id, full_name, title, phone, linkedin, attributes) = row(${values}),
        version = c.version + 1, updated_at = now()
      where (c.company_id, c.full_name, c.title, c.phone, c.linkedin, c.attributes) is distinct from (${values})
      returning c.id, lower(c.email) as key, c.version
    )
    select input.index, input.key, firsts.index as first, written.id, written.version
    from input
    left join firsts on firsts.key = input.key
    left join written on coalesce(written.key, written.id::text) = coalesce(input.key, input.new_id::text)`);

  // Rows that stayed as they were are locked, but not returned.
  const idOf = new Map(written.map((row) => [row.key, row.id]));
  const unchanged = written.filter((row) => row.id === null && row.first === row.index).map((row) => row.key);
  if (unchanged.length > 0) {
    const found = await tx.query<{ key: string; id: string }>(sql('contacts.unchanged')`
      select key, id from aim.contacts_by_email(${tenantId}, ${campaignId}, ${unchanged}::text[])`);
    for (const { key, id } of found) idOf.set(key, id);
  }
  return written.map((row): RowResult => {
    const id = row.id ?? idOf.get(row.key) ?? '';
    if (row.first !== null && row.first !== row.index) {
      return { index: row.index, status: 'duplicate', id, duplicateOf: row.first };
    }
    const status = row.version === null ? 'unchanged' : row.version === 1 ? 'created' : 'updated';
    return { index: row.index, status, id };
  });
}
