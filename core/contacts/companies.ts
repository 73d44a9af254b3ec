import { naturalKey, normaliseDomain } from '../companies/domain.ts';
import { companiesWithKeys } from '../companies/keys.ts';
import type { ContactRow } from '../contract/contacts.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { walk } from '../db/walk.ts';

type Key = { ok: true; key: string | null } | { ok: false; reason: string };
type Found =
  | { ok: true; id: string | null }
  | { ok: false; field: 'companyId' | 'companyDomain'; code: string; message: string };

/**
 * Finds the companies that rows name by id or domain, and holds them until the transaction ends.
 * @returns a look-up that answers each row's company, or why there is none
 */
export async function findCompanies(
  tx: Db,
  tenantId: string,
  campaignId: string,
  rows: ContactRow[],
): Promise<(row: ContactRow) => Found> {
  const ids = new Set<string>();
  const keys = new Set<string>();
  const read = new Map<string, Key>();
  const keyOf = ({ companyDomain }: ContactRow): Key => {
    const given = companyDomain ?? '';
    const key = read.get(given) ?? readKey(given);
    read.set(given, key);
    return key;
  };
  for (const row of rows) {
    if (row.companyId) ids.add(row.companyId.toLowerCase());
    const key = keyOf(row);
    if (key.ok && key.key) keys.add(key.key);
  }
  const known = new Set<string>();
  const idOfKey = new Map<string, string>();
  if (ids.size + keys.size > 0) {
    const found = await walk<{ id: string; key: string }>(
      tx,
      sql('contacts.companies')`
      select id, natural_key as key from companies
      where id = any(${[...ids]}::uuid[] || array(
          select id from ${companiesWithKeys(tenantId, campaignId, [...keys])} c
        ))
        -- No equations: these have indexes of their own, and the ids are to be what is looked up.
        and campaign_id is not distinct from ${campaignId} and user_id is not distinct from ${tenantId}
      order by id for key share`,
    );
    for (const { id, key } of found) {
      known.add(id);
      idOfKey.set(key, id);
    }
  }

  return (row) => {
    const missing = `no such company in campaign ${campaignId}; add it first`;
    if (row.companyId) {
      const id = row.companyId.toLowerCase();
      return known.has(id)
        ? { ok: true, id }
        : { ok: false, field: 'companyId', code: 'unknown_company', message: missing };
    }
    const key = keyOf(row);
    if (!key.ok) return { ok: false, field: 'companyDomain', code: 'invalid_domain', message: key.reason };
    if (key.key === null) return { ok: true, id: null };
    const id = idOfKey.get(key.key);
    return id
      ? { ok: true, id }
      : { ok: false, field: 'companyDomain', code: 'unknown_company', message: missing };
  };
}

function readKey(given: string): Key {
  const normalised = normaliseDomain(given);
  if (!normalised.ok) return normalised;
  const { domain } = normalised;
  return { ok: true, key: domain === null ? null : naturalKey({ name: domain, domain }) };
}
