import { checkCampaign } from '../campaigns/get.ts';
import type { Contact, ContactQuery } from '../contract/contacts.ts';
import type { Page } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { readPage } from '../db/keyset.ts';
import { ofCampaign, ofCompany, scopeOf } from '../db/scope.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { columns } from './columns.ts';

/** One page of contacts, of one campaign, one company or all. @throws NotFound for a campaign that does not exist */
export async function listContacts(
  deps: { db: Db },
  tenantId: string,
  query: ContactQuery,
): Promise<Page<Contact>> {
  const { campaignId, companyId, ...page } = query;
  const scope = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    companyId === undefined ? undefined : ofCompany(tenantId, companyId),
  );
  const contacts = await readPage('contacts', { campaignId, companyId }, page, (keyset) =>
    deps.db.query<Contact>(sql('contacts.page')`
      select ${columns} from contacts
      where ${scope} ${keyset.after}
      ${keyset.orderAndLimit}`),
  );
  if (contacts.data.length === 0 && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  return contacts;
}

/** @throws NotFound */
export async function getContact({ db }: { db: Db }, tenantId: string, id: string): Promise<Contact> {
  const [contact] = await db.query<Contact>(sql('contacts.get')`
    select ${columns} from contacts where id = ${id} and user_id = ${tenantId}`);
  if (!contact) throw new NotFound('contact', id);
  return contact;
}
