import type { Page } from '../contract/page.ts';
import type { Provider, ProviderQuery } from '../contract/providers.ts';
import type { Db } from '../db/connect.ts';
import { type ListShape, readPage } from '../db/keyset.ts';
import { ofTenant } from '../db/scope.ts';
import { created } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { columns, fields } from './columns.ts';

const shape: ListShape = {
  name: 'providers',
  table: sql.fragment`research_providers`,
  columns: fields,
  sorts: { created },
};

/** One page of a tenant's providers, without their secrets. */
export function listProviders(
  { db }: { db: Db },
  tenantId: string,
  query: ProviderQuery,
): Promise<Page<Provider>> {
  return readPage<Provider>(db, shape, query, { filter: {}, scope: ofTenant(tenantId) });
}

/** By name or id; no name looks like an id. @throws NotFound */
export async function getProvider({ db }: { db: Db }, tenantId: string, nameOrId: string): Promise<Provider> {
  const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(nameOrId);
  const [provider] = await db.query<Provider>(sql('providers.get')`
    select ${columns} from research_providers
    where user_id = ${tenantId} and ${isId ? sql.fragment`id = ${nameOrId}` : sql.fragment`name = ${nameOrId}`}`);
  if (!provider) throw new NotFound('provider', nameOrId);
  return provider;
}
