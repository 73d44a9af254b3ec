import { holdCampaign } from '../campaigns/get.ts';
import { type BulkReply, bulkReply, type RowResult } from '../contract/bulk.ts';
import { type CompanyBulk, CompanyRow } from '../contract/companies.ts';
import { type RowErrors, rowErrors } from '../contract/field-errors.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { walk } from '../db/walk.ts';
import { naturalKey, normaliseDomain } from './domain.ts';
import { companiesWithKeys } from './keys.ts';

interface ParsedRow {
  index: number;
  key: string;
  name: string;
  domain: string | null;
  attributes: Record<string, unknown>;
  /** Was given by the caller, so that it replaces what is there. */
  named: boolean;
  attributed: boolean;
}

/**
 * Creates or updates up to 1,000 companies of a campaign by their natural key (domain, else name), with a result for
 * each row. All rows are one statement, locked in the order of their keys, so that two calls never deadlock.
 * @throws NotFound and Conflict for an unknown or archived campaign; bad rows fail alone, in the reply
 */
export function upsertCompanies({ db }: { db: Db }, tenantId: string, bulk: CompanyBulk): Promise<BulkReply> {
  return db.transaction(async (tx) => {
    await holdCampaign({ db: tx }, tenantId, bulk.campaignId);
    const results: RowResult[] = [];
    const firsts = new Map<string, ParsedRow>();
    bulk.rows.forEach((value, index) => {
      const parsed = parse(value, index);
      if ('errors' in parsed) results[index] = { index, status: 'rejected', ...parsed };
      else if (firsts.has(parsed.key)) {
        const duplicateOf = (firsts.get(parsed.key) as ParsedRow).index;
        results[index] = { index, status: 'duplicate', domain: parsed.domain, duplicateOf };
      } else firsts.set(parsed.key, parsed);
    });
    const rows = [...firsts.values()];
    const written = rows.length === 0 ? [] : await write(tx, tenantId, bulk.campaignId, rows);
    for (const { key, id, status } of written) {
      const row = firsts.get(key) as ParsedRow;
      results[row.index] = { index: row.index, status, id, domain: row.domain };
    }
    for (const result of results) {
      if (result.duplicateOf === undefined) continue;
      const id = results[result.duplicateOf]?.id;
      if (id !== undefined) result.id = id;
    }
    return bulkReply(results);
  });
}

function parse(value: unknown, index: number): ParsedRow | RowErrors {
  const parsed = CompanyRow.safeParse(value);
  if (!parsed.success) return rowErrors(parsed.error, value, index);
  const row = parsed.data;
  const normalised = normaliseDomain(row.domain ?? '');
  if (!normalised.ok) {
    return {
      errors: [{ path: `rows[${index}].domain`, code: 'invalid_domain', message: normalised.reason }],
    };
  }
  const { domain } = normalised;
  const name = row.name || domain;
  if (!name) {
    return {
      errors: [{ path: `rows[${index}].name`, code: 'required', message: 'give a name or a domain' }],
    };
  }
  return {
    index,
    key: naturalKey({ name, domain }),
    name,
    domain,
    attributes: row.attributes ?? {},
    // A blank cell says nothing; null takes the name away, and the domain stands in.
    named: row.name !== undefined && row.name !== '',
    attributed: row.attributes !== undefined,
  };
}

interface Written {
  key: string;
  id: string;
  status: 'created' | 'updated' | 'unchanged';
}

async function write(tx: Db, tenantId: string, campaignId: string, rows: ParsedRow[]): Promise<Written[]> {
  const named = rows.filter((row) => row.named).map((row) => row.key);
  const attributed = rows.filter((row) => row.attributed).map((row) => row.key);
  const name = sql.fragment`case when c.natural_key = any(${named}::text[]) then excluded.name else c.name end`;
  const attributes = sql.fragment`
    case when c.natural_key = any(${attributed}::text[]) then excluded.attributes else c.attributes end`;
  const source = rows.map(({ key, name, domain, attributes }) => ({
    natural_key: key,
    name,
    domain,
    attributes,
  }));
  const changed = await tx.query<Written>(sql('companies.upsert')`
    insert into companies as c (user_id, campaign_id, natural_key, name, domain, attributes)
    select ${tenantId}::uuid, ${campaignId}::uuid, natural_key, name, domain, attributes
    from jsonb_to_recordset(${JSON.stringify(source)}::jsonb)
      as r (natural_key text, name text, domain text, attributes jsonb)
    order by natural_key collate "C"
    on conflict (campaign_id, natural_key) do update
    set name = ${name}, attributes = ${attributes}, version = c.version + 1, updated_at = now()
    where (c.name, c.attributes) is distinct from (${name}, ${attributes})
    returning c.natural_key as key, c.id, case when c.version = 1 then 'created' else 'updated' end as status`);
  if (changed.length === rows.length) return changed;

  // Rows that stayed as they were are locked, but not returned.
  const seen = new Set(changed.map((row) => row.key));
  const rest = rows.map((row) => row.key).filter((key) => !seen.has(key));
  const unchanged = await walk<Written>(
    tx,
    sql('companies.unchanged')`
    select key, id, 'unchanged' as status from ${companiesWithKeys(tenantId, campaignId, rest)} c`,
  );
  return [...changed, ...unchanged];
}
