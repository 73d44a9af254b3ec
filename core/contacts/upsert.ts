import { holdCampaign } from '../campaigns/get.ts';
import { type BulkReply, bulkReply, type RowResult } from '../contract/bulk.ts';
import { type ContactBulk, ContactRow } from '../contract/contacts.ts';
import { type RowErrors, rowErrors } from '../contract/field-errors.ts';
import type { Db } from '../db/connect.ts';
import { findCompanies } from './companies.ts';
import { type ParsedContact, writeContacts } from './write.ts';

/**
 * Creates or updates up to 1,000 contacts of a campaign by their email, with a result for each row. A row without an
 * email is always created. All rows are one statement, locked in the order of their keys.
 * @throws NotFound and Conflict for an unknown or archived campaign; bad rows fail alone, in the reply
 */
export function upsertContacts({ db }: { db: Db }, tenantId: string, bulk: ContactBulk): Promise<BulkReply> {
  return db.transaction(async (tx) => {
    await holdCampaign({ db: tx }, tenantId, bulk.campaignId);
    const results: RowResult[] = [];
    const read: { index: number; row: ContactRow }[] = [];
    bulk.rows.forEach((value, index) => {
      const parsed = parse(value);
      if (parsed.success) read.push({ index, row: parsed.data });
      else results[index] = reject(index, rowErrors(parsed.error, value, index));
    });

    const companyOf = await findCompanies(
      tx,
      tenantId,
      bulk.campaignId,
      read.map(({ row }) => row),
    );
    const rows: ParsedContact[] = [];
    for (const { index, row } of read) {
      const company = companyOf(row);
      if (company.ok) rows.push(toContact(index, row, company.id));
      else {
        const path = `rows[${index}].${company.field}`;
        results[index] = reject(index, {
          errors: [{ path, code: company.code, message: company.message }],
        });
      }
    }
    for (const result of await writeContacts(tx, tenantId, bulk.campaignId, rows))
      results[result.index] = result;
    return bulkReply(results);
  });
}

const Contactable = ContactRow.refine((row) => row.email || row.fullName || row.phone || row.linkedin, {
  message: 'give an email, a name, a phone or a LinkedIn address',
  params: { code: 'required' },
});

function parse(value: unknown) {
  return Contactable.safeParse(value);
}

function reject(index: number, errors: RowErrors): RowResult {
  return { index, status: 'rejected', ...errors };
}

function toContact(index: number, row: ContactRow, companyId: string | null): ParsedContact {
  const given = (['fullName', 'title', 'phone', 'linkedin', 'attributes'] as const).filter(
    (field) => row[field] !== undefined,
  );
  const hasCompany = row.companyId !== undefined || row.companyDomain !== undefined;
  return {
    index,
    company_id: companyId,
    full_name: row.fullName ?? '',
    email: row.email || null,
    title: row.title || null,
    phone: row.phone || null,
    linkedin: row.linkedin || null,
    attributes: row.attributes ?? {},
    given: hasCompany ? [...given, 'company'] : given,
  };
}
