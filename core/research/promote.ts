import { holdCampaign } from '../campaigns/get.ts';
import { type ParsedContact, writeContacts } from '../contacts/write.ts';
import { type BulkReply, bulkReply, type RowResult } from '../contract/bulk.ts';
import { ContactRow } from '../contract/contacts.ts';
import { fieldErrors } from '../contract/field-errors.ts';
import type { PromoteRequest } from '../contract/research.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

interface Prospect {
  id: string;
  company_id: string;
  full_name: string | null;
  email: string | null;
  title: string | null;
  phone: string | null;
  linkedin: string | null;
  attributes: Record<string, unknown>;
}

/**
 * Makes contacts of up to 1,000 people that research found, by their email. A contact that has this email already
 * stays as it is: what a person wrote is worth more than what research found.
 * @returns a result for each id, in their order, with the contact's id; one without a usable email is rejected alone
 * @throws NotFound and Conflict for an unknown or archived campaign
 */
export function promoteProspects(
  { db }: { db: Db },
  tenantId: string,
  { campaignId, prospectIds }: PromoteRequest,
): Promise<BulkReply> {
  return db.transaction(async (tx) => {
    await holdCampaign({ db: tx }, tenantId, campaignId);
    // Held until the contacts are there, or an erasure would miss them meanwhile; locked in the order in which results are.
    const found = await tx.query<Prospect>(sql('prospects.to_promote')`
      select id, company_id, full_name, email, title, phone, linkedin, attributes from prospect_research
      where id = any(${prospectIds}::uuid[]) and campaign_id = ${campaignId} and user_id = ${tenantId}
      order by company_research_id, natural_key for share`);
    const byId = new Map(found.map((prospect) => [prospect.id, prospect]));
    const results: RowResult[] = [];
    const rows: ParsedContact[] = [];
    prospectIds.forEach((id, index) => {
      const prospect = byId.get(id.toLowerCase());
      const reading = prospect ? toContact(prospect, index) : unknown(campaignId, index);
      if ('errors' in reading) results[index] = { index, status: 'rejected', errors: reading.errors };
      else rows.push(reading);
    });
    for (const result of await writeContacts(tx, tenantId, campaignId, rows)) results[result.index] = result;
    return bulkReply(results);
  });
}

type Errors = { errors: NonNullable<RowResult['errors']> };

function unknown(campaignId: string, index: number): Errors {
  const message = `no such person was found by research in campaign ${campaignId}`;
  return { errors: [{ path: `prospectIds[${index}]`, code: 'not_found', message }] };
}

function toContact(prospect: Prospect, index: number): ParsedContact | Errors {
  const { email, title, phone, linkedin, attributes } = prospect;
  const row = { email: email ?? '', fullName: prospect.full_name ?? '', title, phone, linkedin, attributes };
  const parsed = ContactRow.safeParse(row);
  if (!parsed.success) return { errors: fieldErrors(parsed.error, row, ['prospectIds', index]) };
  if (!parsed.data.email) {
    const message =
      'this person has no email, which is what makes a contact the same contact; add it by hand';
    return { errors: [{ path: `prospectIds[${index}].email`, code: 'required', message }] };
  }
  return {
    index,
    company_id: prospect.company_id,
    full_name: parsed.data.fullName ?? '',
    email: parsed.data.email,
    title: parsed.data.title || null,
    phone: parsed.data.phone || null,
    linkedin: parsed.data.linkedin || null,
    attributes: parsed.data.attributes ?? {},
    given: [],
  };
}
