import type { ILoadOptionsFunctions, INodeListSearchResult } from 'n8n-workflow';
import { fetchPage, maxPageRows } from '../transport/pages';

interface Search {
  /** What the picker keeps of the row chosen. */
  field: 'id' | 'name';
  filter?: string;
  paginationToken?: string;
}

/**
 * A page of named rows for a picker. With a filter it reads on until a page has a match: the editor asks for more only
 * when it is scrolled, and there is nothing to scroll in an empty list.
 */
export async function pickFrom(
  this: ILoadOptionsFunctions,
  path: string,
  { field, filter = '', paginationToken }: Search,
): Promise<INodeListSearchResult> {
  const wanted = filter.trim().toLowerCase();
  const limit = wanted === '' ? 100 : maxPageRows;
  let cursor = paginationToken;
  for (;;) {
    const { rows, next } = await fetchPage.call(this, path, { limit, ...(cursor && { cursor }) });
    const results = rows
      .map((row) => ({ name: String(row.name), value: String(row[field]) }))
      .filter(({ name }) => name.toLowerCase().includes(wanted));
    if (results.length > 0 || next === null) return { results, paginationToken: next ?? undefined };
    cursor = next;
  }
}
