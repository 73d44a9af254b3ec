/** A named, parameterised statement as node-postgres takes it, with its name in the text for pg_stat_statements. */
export interface Statement {
  statement: string;
  text: string;
  values: unknown[];
  /** It walks an index that has its order, whatever the planner thinks of the rows: see `walking`. */
  walks?: boolean;
}

/** A piece of SQL with its own parameters, to be nested in a statement. */
export class Fragment {
  readonly strings: readonly string[];
  readonly values: readonly unknown[];
  constructor(strings: readonly string[], values: readonly unknown[]) {
    this.strings = strings;
    this.values = values;
  }
}

function render(strings: readonly string[], parts: readonly unknown[], values: unknown[]): string {
  let text = strings[0] ?? '';
  parts.forEach((part, index) => {
    text += part instanceof Fragment ? render(part.strings, part.values, values) : `$${values.push(part)}`;
    text += strings[index + 1] ?? '';
  });
  return text;
}

/** After the first word: Postgres 18 cuts off what comes before a statement, comments too, where it keeps statistics. */
function named(name: string, text: string): string {
  return text.replace(/^(?:[\s(]|--.*\n)*\w+/, (start) => `${start} /* ${name} */`);
}

/**
 * Makes a tag for one named statement: ``sql('contacts.get')`select id from contacts where id = ${id}` ``.
 * Every `${value}` becomes a parameter; only a `sql.fragment` adds text.
 */
export function sql(name: string): (strings: TemplateStringsArray, ...parts: unknown[]) => Statement {
  return (strings, ...parts) => {
    const values: unknown[] = [];
    const text = named(name, render(strings, parts, values));
    return { statement: name, text, values };
  };
}

sql.fragment = (strings: TemplateStringsArray, ...parts: unknown[]): Fragment => new Fragment(strings, parts);

/** A field of ours as a quoted name of SQL. @throws TypeError for what is no identifier */
sql.identifier = (field: string): Fragment => {
  if (!/^\w+$/.test(field)) throw new TypeError('not a name');
  return new Fragment([`"${field}"`], []);
};

/** Nothing at all, for a condition that does not apply. */
sql.empty = new Fragment([''], []);

/**
 * For a page of a list: each has an index with its order. Of a campaign or tenant that the statistics do not know yet,
 * the planner would gather all rows and sort them, for every page.
 */
export const walking = (statement: Statement): Statement => ({ ...statement, walks: true });
