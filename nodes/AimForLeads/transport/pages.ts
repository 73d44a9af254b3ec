import { type IDataObject, NodeOperationError } from 'n8n-workflow';
import { isObject } from './problem';
import { type Caller, request } from './request';

export interface Page {
  rows: IDataObject[];
  /** Cursor of the page after this one. */
  next: string | null;
}

/** The API gives up to 5,000 rows a page; 1,000 keep an answer small enough for proxies and memory. */
export const maxPageRows = 1000;

/** One page of a list. An answer of another shape is an error, never an empty page. */
export async function fetchPage(
  this: Caller,
  path: string,
  query: IDataObject,
  itemIndex?: number,
): Promise<Page> {
  const { data, next } = await request.call(this, { method: 'GET', path, query, itemIndex });
  const isPage = Array.isArray(data) && data.every(isObject) && (next === null || typeof next === 'string');
  if (!isPage || (next !== null && next === query.cursor)) {
    const description =
      'Check the base URL of the credential, and that a proxy before it changes no answers.';
    throw new NodeOperationError(this.getNode(), `${path} did not answer with a page of rows`, {
      description,
      itemIndex,
    });
  }
  return { rows: data as IDataObject[], next };
}

/**
 * Walks a list page by page, up to `limit` rows. An error in the middle is thrown: what a caller collects is all
 * there is up to the limit, or nothing.
 */
export async function* pages(
  this: Caller,
  path: string,
  { query, limit, itemIndex }: { query: IDataObject; limit: number; itemIndex: number },
): AsyncGenerator<IDataObject[]> {
  let left = limit;
  let cursor: string | null = null;
  do {
    const asked: IDataObject = {
      ...query,
      limit: Math.min(left, maxPageRows),
      ...(cursor !== null && { cursor }),
    };
    const page: Page = await fetchPage.call(this, path, asked, itemIndex);
    const rows = page.rows.slice(0, left);
    yield rows;
    left -= rows.length;
    // A short page, even an empty one, is not the end: only a missing cursor is.
    cursor = page.next;
  } while (cursor !== null && left > 0);
}
