import type { Db } from '../../db/connect.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { isKey, isRowOf, keyWithout } from './keys.ts';
import { jsonWithout, mentions, othersIn, type Person, personOf, without } from './person.ts';

const rowsPerTransaction = 1_000;
/** Of any size. */
const lettersPerTransaction = 100;

/** Behind which row a walk goes on; what it is made of is the walk's own business. */
export type Position = Record<string, string | number>;
export interface Walked {
  /** Rows deleted or changed. */
  changed: number;
  /** undefined: that was the last. */
  next: Position | undefined;
}
/** One bounded step of a walk over everything of one table that is the tenant's, in the given transaction. */
export type Walk = (tx: Db, person: Person, after: Position | undefined) => Promise<Walked>;

interface Shape {
  table: string;
  texts: { [column: string]: number };
  jsons?: string[];
  hasVersion?: boolean;
  hasUpdatedAt?: boolean;
  /** Rows that must not be written: those of a campaign in the archive, which is looked through by itself. */
  inCampaign?: boolean;
}

/** Walks a table in the order of its tenant's page index. */
export function walkOf({
  table: name,
  texts,
  jsons = [],
  hasVersion = true,
  hasUpdatedAt = true,
  inCampaign = true,
}: Shape): Walk {
  const table = sql.identifier(name);
  return async (tx, person, after) => {
    const columns = [...Object.keys(texts), ...jsons].map(sql.identifier);
    const whole = columns.reduce((all, one) => sql.fragment`${all}, ${one}::text`, sql.fragment`' '`);
    const named = mentions(person, sql.fragment`document`);
    const sets = [
      ...Object.entries(texts).map(([column, length]) => {
        const text = sql.fragment`t.${sql.identifier(column)}`;
        const left = isKey(name, column)
          ? keyWithout(person, text, sql.fragment`t.id`)
          : without(person, text, length);
        return sql.fragment`${sql.identifier(column)} = ${left}`;
      }),
      ...jsons.map(
        (column) =>
          sql.fragment`${sql.identifier(column)} = ${jsonWithout(person, sql.fragment`t.${sql.identifier(column)}`)}`,
      ),
      ...(hasVersion ? [sql.fragment`version = t.version + 1`] : []),
      ...(hasUpdatedAt ? [sql.fragment`updated_at = now()`] : []),
    ].reduce((all, one) => sql.fragment`${all}, ${one}`);
    const behind = after
      ? sql.fragment`and (created_at, id) > (${after.createdAt}::timestamptz, ${after.id}::uuid)`
      : sql.empty;
    const writable = inCampaign
      ? sql.fragment`and not exists (select from campaigns c where c.id = chunk.campaign_id and c.archived)`
      : sql.empty;
    const is = isRowOf(person, name, sql.identifier);
    const [last] = await tx.query<{ createdAt: string; id: string; rows: number; changed: number }>(sql(
      'erase.walk',
    )`
      with chunk as materialized (
        select id, created_at, ${inCampaign ? sql.fragment`campaign_id,` : sql.empty}
          coalesce(${is}, false) as person, concat_ws(E'\n', ${whole}) as document
        from ${table} where user_id = ${person.tenantId} ${behind}
        order by created_at, id limit ${rowsPerTransaction}
      ), hit as materialized (
        select id, person from chunk where (person or ${named}) ${writable}
      ), deleted as (
        delete from ${table} t where t.id = any (array(select id from hit where person)) returning t.id
      ), changed as (
        update ${table} t set ${sets} where t.id = any (array(select id from hit where not person)) returning t.id
      )
      select created_at as "createdAt", id, (select count(*) from chunk) as rows,
        (select count(*) from deleted) + (select count(*) from changed) as changed
      from chunk order by created_at desc, id desc limit 1`);
    if (!last) return { changed: 0, next: undefined };
    const { createdAt, id, rows, changed } = last;
    return { changed, next: rows === rowsPerTransaction ? { createdAt, id } : undefined };
  };
}

const person = { full_name: 500, email: 320, title: 500, phone: 100, linkedin: 500 };
/** How long texts may be, of each table: what stands for an address may be longer than the address was. */
export const lengths = {
  contacts: person,
  prospect_research: { ...person, natural_key: 600 },
  companies: { name: 500, domain: 255, natural_key: 600 },
  research_jobs: { error_message: 2000 },
};

/** Jobs have no order of a tenant's: one batch after the other. */
const jobs: Walk = async (tx, person, after) => {
  const from = after?.createdAt !== undefined ? after : undefined;
  const [batch] = await tx.query<{ createdAt: string; id: string }>(sql('erase.batch')`
    select created_at as "createdAt", id from research_batches where user_id = ${person.tenantId}
      ${
        from === undefined
          ? sql.empty
          : from.companyId === undefined
            ? sql.fragment`and (created_at, id) > (${from.createdAt}::timestamptz, ${from.id}::uuid)`
            : sql.fragment`and (created_at, id) >= (${from.createdAt}::timestamptz, ${from.id}::uuid)`
      }
    order by created_at, id limit 1`);
  if (!batch) return { changed: 0, next: undefined };
  const done = from?.id === batch.id ? from.companyId : undefined;
  const [last] = await tx.query<{ companyId: string; rows: number; changed: number }>(sql('erase.jobs')`
    with chunk as materialized (
      select id, company_id, error_message from research_jobs where batch_id = ${batch.id}
        ${done === undefined ? sql.empty : sql.fragment`and company_id > ${done}::uuid`}
      order by company_id limit ${rowsPerTransaction}
    ), changed as (
      update research_jobs t set error_message = ${without(person, sql.fragment`t.error_message`, lengths.research_jobs.error_message)}, updated_at = now()
      where t.id = any (array(select id from chunk where ${mentions(person, sql.fragment`error_message`)}))
        and not exists (select from campaigns c where c.id = t.campaign_id and c.archived)
      returning t.id
    )
    select company_id as "companyId", (select count(*) from chunk) as rows, (select count(*) from changed) as changed
    from chunk order by company_id desc limit 1`);
  const more = last?.rows === rowsPerTransaction;
  return {
    changed: last?.changed ?? 0,
    next: { ...batch, ...(more && last ? { companyId: last.companyId } : {}) },
  };
};

/** Bytes as they came: looked at as text in which every byte that is no ASCII is written out. */
const deadLetters: Walk = async (tx, person, after) => {
  const raw = personOf(person.tenantId, person.email, { inBytes: true });
  const [last] = await tx.query<{ createdAt: string; id: string; rows: number; changed: number }>(sql(
    'erase.letters',
  )`
    with chunk as materialized (
      select id, created_at, encode(body, 'escape') as body, reason from dead_letters where user_id = ${person.tenantId}
      ${after ? sql.fragment`and (created_at, id) > (${after.createdAt}::timestamptz, ${after.id}::uuid)` : sql.empty}
      order by created_at, id limit ${lettersPerTransaction}
    ), hit as materialized (
      select id from chunk where ${mentions(raw, sql.fragment`body`)} or ${mentions(person, sql.fragment`reason`)}
    ), changed as (
      update dead_letters t set body = decode(${without(raw, sql.fragment`encode(t.body, 'escape')`)}, 'escape'),
        reason = ${without(person, sql.fragment`t.reason`)}
      where t.id = any (array(select id from hit)) returning t.id
    )
    select created_at as "createdAt", id, (select count(*) from chunk) as rows, (select count(*) from changed) as changed
    from chunk order by created_at desc, id desc limit 1`);
  if (!last) return { changed: 0, next: undefined };
  const { createdAt, id, rows, changed } = last;
  return { changed, next: rows === lettersPerTransaction ? { createdAt, id } : undefined };
};

/** Evidence of results that came too late: what they say, and the people they found. */
const lateResults: Walk = async (tx, person, after) => {
  const json = (column: Fragment) => jsonWithout(person, column);
  const [last] = await tx.query<{ id: string; rows: number; changed: number }>(sql('erase.late_results')`
    with chunk as materialized (
      select attempt_id, job_id, concat_ws(E'\n', summary, findings::text, sources::text, prospects::text) as document
      from late_results where user_id = ${person.tenantId}
        ${after ? sql.fragment`and attempt_id > ${after.id}::uuid` : sql.empty}
      order by attempt_id limit ${rowsPerTransaction}
    ), hit as materialized (
      select h.attempt_id from chunk h join research_jobs j on j.id = h.job_id
      join campaigns c on c.id = j.campaign_id and not c.archived
      where ${mentions(person, sql.fragment`h.document`)}
    ), changed as (
      update late_results t set summary = ${without(person, sql.fragment`t.summary`)},
        findings = ${json(sql.fragment`t.findings`)}, sources = ${json(sql.fragment`t.sources`)},
        prospects = ${json(othersIn(person, sql.fragment`t.prospects`))}
      where t.attempt_id = any (array(select attempt_id from hit)) returning t.attempt_id
    )
    select attempt_id as id, (select count(*) from chunk) as rows, (select count(*) from changed) as changed
    from chunk order by attempt_id desc limit 1`);
  if (!last) return { changed: 0, next: undefined };
  return { changed: last.changed, next: last.rows === rowsPerTransaction ? { id: last.id } : undefined };
};

/** Answers that are kept for a day, for a repeat of the request. */
const answers: Walk = async (tx, person, after) => {
  const [last] = await tx.query<{ key: string; rows: number; changed: number }>(sql('erase.answers')`
    with chunk as materialized (
      select key, answer::text as document from idempotency_keys where user_id = ${person.tenantId}
        ${after ? sql.fragment`and key > ${after.key}` : sql.empty}
      order by key limit ${rowsPerTransaction}
    ), gone as (
      delete from idempotency_keys t
      where t.user_id = ${person.tenantId}
        and t.key = any (array(select key from chunk where ${mentions(person, sql.fragment`key`)}))
      returning t.key
    ), changed as (
      update idempotency_keys t set answer = ${jsonWithout(person, sql.fragment`t.answer`)}
      where t.user_id = ${person.tenantId} and t.key = any (array(
        select key from chunk
        where ${mentions(person, sql.fragment`document`)} and not ${mentions(person, sql.fragment`key`)}))
      returning t.key
    )
    select key, (select count(*) from chunk) as rows,
      (select count(*) from changed) + (select count(*) from gone) as changed
    from chunk order by key desc limit 1`);
  if (!last) return { changed: 0, next: undefined };
  return { changed: last.changed, next: last.rows === rowsPerTransaction ? { key: last.key } : undefined };
};

/** Every table that may hold an address outside the archives, in the order in which they are looked through. */
export const liveWalks: Record<string, Walk> = {
  contacts: walkOf({ table: 'contacts', texts: lengths.contacts, jsons: ['attributes'] }),
  prospect_research: walkOf({
    table: 'prospect_research',
    texts: lengths.prospect_research,
    jsons: ['attributes'],
  }),
  company_research: walkOf({
    table: 'company_research',
    texts: { summary: 1_000_000_000 },
    jsons: ['findings', 'sources'],
  }),
  companies: walkOf({ table: 'companies', texts: lengths.companies, jsons: ['attributes'] }),
  research_jobs: jobs,
  late_results: lateResults,
  campaigns: walkOf({ table: 'campaigns', texts: { name: 200 }, inCampaign: false }),
  dead_letters: deadLetters,
  idempotency_keys: answers,
};
