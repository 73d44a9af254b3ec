import { type Fragment, sql } from '../../db/sql.ts';

/** What stands where the address stood. */
export const erased = '[erased]';
/** With what the pattern took in before it. */
const putBack = `\\1${erased}`;

/** An address to forget, as it may be written: as such, in JSON, in a URL; whatever its case. */
export interface Person {
  tenantId: string;
  email: string;
  /** Postgres' regular expression of the address as a whole and what is before it: in `joann@x` there is no `ann@x`. */
  pattern: string;
  /** The same in a field for an address, behind nothing that an address may have before its `@`: `o'ann@x`, `x/ann@x`. */
  inField: string;
  /** The ways of writing it, for a quick look before the slow one. */
  spellings: string[];
}

/** In JSON, and in a URL, of which some encode more than others. */
const encodings = [
  (text: string) => text,
  (text: string) => JSON.stringify(text).slice(1, -1),
  encodeURIComponent,
  (text: string) => encodeURIComponent(text).replaceAll("'", '%27'),
];

/** Bytes as Postgres' format `escape` has them. */
const inEscapes = (text: string) =>
  Buffer.from(text).reduce(
    (all, byte) =>
      all + (byte > 127 ? `\\${byte.toString(8)}` : byte === 92 ? '\\\\' : String.fromCharCode(byte)),
    '',
  );

/** @param inBytes the text has bytes written out, as \\342: one before the address is no part of it */
export function personOf(tenantId: string, email: string, { inBytes = false } = {}): Person {
  const [local = '', domain = ''] = email.split('@');
  const written = encodings.flatMap((encode) =>
    ['@', '%40'].map((at) => encode(local) + at + encode(domain)),
  );
  const spellings = [...new Set(inBytes ? written.map(inEscapes) : written)];
  const any = spellings.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  // In JSON a line break before it is written as \n, whose letter is no part of the address.
  const bytes = inBytes ? '|\\\\[0-7]{3}' : '';
  // Nor is what a URL has encoded before it, unless that stands for a character of an address.
  const inUrl = '%(?!2[bde]|5f)[0-9a-f]{2}';
  // Taken in and put back: to look behind makes each match as slow as the text is long.
  const before = `(^|[^[:alnum:]._%+-]|\\\\[bfnrt]|\\\\u[0-9a-f]{4}|${inUrl}${bytes})`;
  const after = '(?![[:alnum:]-]|\\.[[:alnum:]])';
  const inField = `(?:^|[\\s<>()\\[\\],;:"])'*(?:${any})${after}`;
  return { tenantId, email, spellings, pattern: `${before}(?:${any})${after}`, inField };
}

/** Whether the text names the person. */
export function mentions({ spellings, pattern }: Person, text: Fragment): Fragment {
  const quick = spellings
    .map((spelling) => sql.fragment`strpos(lower(${text}), lower(${spelling})) > 0`)
    .reduce((all, one) => sql.fragment`${all} or ${one}`);
  return sql.fragment`((${quick}) and ${text} ~* ${pattern})`;
}

/** The text without the person, no longer than it may be. */
export function without({ pattern }: Person, text: Fragment, length = 1_000_000_000): Fragment {
  return sql.fragment`left(regexp_replace(${text}, ${pattern}, ${putBack}, 'gi'), ${length}::int)`;
}

/**
 * Whether a row with this email, or with this key made of it, is the person: it may be dressed, as in `mailto:ann@x` or
 * `Ann <ann@x>`. One of several addresses may be anybody's.
 */
export function isPerson(person: Person, field: Fragment): Fragment {
  return sql.fragment`(lower(${field}) = lower(${person.email}) or (
    ${mentions(person, field)} and ${field} ~* ${person.inField} and ${without(person, field)} !~* '@|%40'))`;
}

/** An array of people as a provider found them, without those that are this one. */
export function othersIn(person: Person, people: Fragment): Fragment {
  const is = sql.fragment`(${isPerson(person, sql.fragment`(one.value ->> 'email')`)}
    or ${isPerson(person, sql.fragment`(one.value ->> 'naturalKey')`)})`;
  return sql.fragment`case when jsonb_typeof(${people}) <> 'array' then ${people} else (
    select coalesce(json_agg(one.value order by one.place)::jsonb, '[]')
    from jsonb_array_elements(case when jsonb_typeof(${people}) = 'array' then ${people} end)
      with ordinality one (value, place)
    where ${is} is not true
  ) end`;
}

export function jsonWithout({ pattern }: Person, json: Fragment): Fragment {
  return sql.fragment`regexp_replace((${json})::text, ${pattern}, ${putBack}, 'gi')::jsonb`;
}
