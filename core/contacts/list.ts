import { checkCampaign } from '../campaigns/get.ts';
import type { Contact, ContactQuery } from '../contract/contacts.ts';
import type { Page } from '../contract/page.ts';
import { attributeIs, check, since } from '../db/checks.ts';
import type { Db } from '../db/connect.ts';
import { type ListShape, readPage } from '../db/keyset.ts';
import { checkParent, ofCampaign, ofCompany, scopeOf, whole } from '../db/scope.ts';
import { created, email, fullName, updated } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { searchPage } from '../search/list.ts';
import { columns, fields } from './columns.ts';

const shape: ListShape = {
  name: 'contacts',
  table: sql.fragment`contacts`,
  columns: fields,
  sorts: { created, updated, name: fullName, email },
};

/** One page of contacts, of one campaign, one company or all. @throws NotFound for a campaign that does not exist */
export async function listContacts(
  deps: { db: Db },
  tenantId: string,
  query: ContactQuery,
): Promise<Page<Contact>> {
  const { search, limit, cursor, order, sort, fields, follow, ...filter } = query;
  const { campaignId, companyId, hasEmail, titlePrefix, updatedSince, attribute } = filter;
  const page = { limit, cursor, order, sort, fields, follow };
  const changed = since(page, updatedSince);
  const within = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    companyId === undefined ? undefined : ofCompany(tenantId, companyId),
  );
  const contacts =
    search === undefined
      ? await readPage<Contact>(deps.db, shape, page, {
          filter,
          scope: sql.fragment`${within} ${changed.range}`,
          checks: [
            ...changed.checks,
            ...check(hasEmail, (has) => sql.fragment`(email is not null) = ${has === 'true'}`),
            ...check(titlePrefix, (prefix) => sql.fragment`starts_with(lower(title), lower(${prefix}))`),
            ...check(attribute, attributeIs),
          ],
        })
      : await searchPage<Contact>(deps.db, tenantId, 'contacts', shape, search, page, filter);
  if (contacts.next === null && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  if (contacts.next === null && companyId !== undefined)
    await checkParent(deps.db, tenantId, 'company', companyId);
  return contacts;
}

/** @throws NotFound, and Conflict `campaign_archived` while it is on its way into an archive or back */
export async function getContact({ db }: { db: Db }, tenantId: string, id: string): Promise<Contact> {
  const [contact] = await db.query<Contact>(sql('contacts.get')`
    select ${columns} from contacts where id = ${id} and ${whole(tenantId)}`);
  if (!contact) throw new NotFound('contact', id);
  return contact;
}
