import { type Fragment, sql } from '../../db/sql.ts';
import { erased, isPerson, mentions, type Person, without } from './person.ts';

type Columns = Record<string, string[]>;
/** Each says whose row it is: those of the person go as a whole. */
const whose: Columns = { contacts: ['email'], prospect_research: ['email', 'natural_key'] };
/** What makes a row the same row: no two of a campaign, or of a company's research, may have it. */
const keys: Columns = {
  companies: ['natural_key', 'domain'],
  contacts: ['email'],
  prospect_research: ['natural_key'],
};

/** Whether a row of this table is the person; of any other table none is. */
export function isRowOf(person: Person, table: string, column: (name: string) => Fragment): Fragment {
  return (whose[table] ?? [])
    .map((name) => isPerson(person, column(name)))
    .reduce((any, one) => sql.fragment`${any} or ${one}`, sql.fragment`false`);
}

export const isKey = (table: string, column: string): boolean => keys[table]?.includes(column) ?? false;

/**
 * A key without the person; one that only ends alike, as `x/ann@x` does, is somebody else's. What is left of two may be
 * the same: the row's own id makes them differ.
 */
export function keyWithout(person: Person, key: Fragment, id: Fragment): Fragment {
  return sql.fragment`case when ${mentions(person, key)} and ${key} ~* ${person.inField}
    then ${own(without(person, key), id)} else ${key} end`;
}

/** A key from which somebody may have been erased when that left it without the row's own id. */
export function ownIfErased(key: Fragment, id: Fragment): Fragment {
  return sql.fragment`case when strpos(${key}, ${erased}) > 0 then ${own(key, id)} else ${key} end`;
}

/** Once, however often; and no longer than any key may be. */
function own(key: Fragment, id: Fragment): Fragment {
  const mark = sql.fragment`(' ' || right((${id})::text, 12))`;
  return sql.fragment`left(replace(${key}, ${mark}, ''), 200) || ${mark}`;
}
