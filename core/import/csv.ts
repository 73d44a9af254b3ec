import { pipeline, Readable } from 'node:stream';
import { CsvError, type Options, type Parser, parse } from 'csv-parse';
import * as atOnce from 'csv-parse/sync';
import { naturalKey } from '../companies/domain.ts';
import { type Columns, findColumns, recognised } from './columns.ts';
import { type Bytes, decoded, detectEncoding } from './encoding.ts';
import { CsvRejected } from './rejected.ts';
import { type CompanyLine, type RejectedLine, readLine } from './row.ts';

export interface DoubleLine {
  status: 'double';
  row: number;
  /** The row that has the same company already. */
  of: number;
  /** Its domain, or its name where it has none. */
  company: string;
}
export type CsvLine = CompanyLine | RejectedLine | DoubleLine;

const delimiters = [',', ';', '\t', '|'];
const headLength = 65_536;
/** How quotes, line ends and rows of any length are taken, by the guess of the delimiter as by the reading. */
const lenient: Options = {
  record_delimiter: ['\r\n', '\n', '\r'],
  relax_column_count: true,
  relax_quotes: true,
  max_record_size: 1_048_576,
};
const notUtf8 = 'contains bytes that are not UTF-8, as the rest of the file is; save it as UTF-8 again';

const strayQuote = (first: number, last: number) =>
  `lines ${first} to ${last} are one row, because of a quotation mark that nothing closes; take it away or double it`;

interface Parsed {
  record: string[];
  /** The lines on which the record begins and ends. */
  row: number;
  lastRow: number;
  /** The cell that a stray quotation mark made of several lines, or -1. */
  swallowing: number;
}

/** Reads the header with each delimiter and takes the one that names most columns, then gives most cells. */
function chooseDelimiter(head: string): string {
  const ranked = delimiters.map((delimiter) => {
    const cells = readHeader(head, delimiter);
    return { delimiter, score: recognised(cells) * 10_000 + Math.min(cells.length, 9_999) };
  });
  return ranked.reduce((best, next) => (next.score > best.score ? next : best)).delimiter;
}

/** The first line that is not blank; no cells where it cannot be read with this delimiter. */
function readHeader(head: string, delimiter: string): string[] {
  try {
    const [cells = []] = atOnce.parse(head, {
      ...lenient,
      delimiter,
      skip_records_with_empty_values: true,
      to: 1,
    });
    return cells;
  } catch (error) {
    if (error instanceof atOnce.CsvError) return [];
    throw error;
  }
}

/** The text again with Excel's first line `sep=;` taken off, and the delimiter it or the header tells. */
async function withDelimiter(
  text: AsyncGenerator<string>,
): Promise<{ delimiter: string; skipped: number; text: AsyncGenerator<string> }> {
  let head = '';
  while (head.length < headLength) {
    const { value, done } = await text.next();
    if (done) break;
    head += value;
  }
  const sep = /^"?sep=([^\w\s"]|\t)"?(?:\r\n|\n|\r)/i.exec(head);
  const start = sep === null ? head : head.slice(sep[0].length);
  async function* all(): AsyncGenerator<string> {
    yield start;
    yield* text;
  }
  return {
    delimiter: sep?.[1] ?? chooseDelimiter(head.slice(0, headLength)),
    skipped: sep === null ? 0 : 1,
    text: all(),
  };
}

function countIn(record: readonly string[], what: RegExp): number {
  return record.reduce((sum, cell) => sum + (cell.match(what)?.length ?? 0), 0);
}

/**
 * The cell that a quotation mark opens and nothing rightly closes, so that whole lines are in it; -1 when there is none.
 * The parser gives it back with its mark, as it gives a cell in quotes that begins with a quotation: what was written
 * tells them apart.
 */
function findSwallowing(record: readonly string[], written: string): number {
  return record.findIndex(
    (cell) =>
      cell.startsWith('"') && /[\r\n]/.test(cell) && !written.includes(`"${cell.replaceAll('"', '""')}"`),
  );
}

/** The parser, and the line on which the last whole record ended: what cannot be read begins after it. */
function openParser(delimiter: string, skipped: number): { parser: Parser; lastLine: () => number } {
  // The parser counts a CRLF inside quotes as two lines.
  let countedTwice = 0;
  let lastLine = skipped;
  const parser = parse({
    ...lenient,
    delimiter,
    raw: true,
    on_record(given, { lines }) {
      const { record, raw } = given as unknown as { record: string[]; raw: string };
      countedTwice += countIn(record, /\r\n/g);
      lastLine = lines + skipped - countedTwice;
      const row = lastLine - countIn(record, /\r\n|\n|\r/g);
      const parsed: Parsed = { record, row, lastRow: lastLine, swallowing: findSwallowing(record, raw) };
      // The library's types know of records as string[] alone.
      return parsed as unknown as string[];
    },
  });
  return { parser, lastLine: () => lastLine };
}

function translated(error: unknown, lastRow: number): unknown {
  if (!(error instanceof CsvError)) return error;
  const reason =
    error.code === 'CSV_QUOTE_NOT_CLOSED' || error.code === 'CSV_MAX_RECORD_SIZE'
      ? 'a quotation mark opens here, or soon after, and is never closed'
      : error.message;
  return new CsvRejected(reason, { row: lastRow + 1 }, { cause: error });
}

/**
 * Reads companies from a CSV file in any usual encoding, delimiter and column order. A row that cannot be taken, or that
 * is the company of an earlier row, is told as such and stops nothing. Only the keys of the companies are held in memory.
 * @param open gives the bytes from the start; called twice, once to learn the encoding
 * @param onColumns is told what the header was understood as, before the first row
 * @throws CsvRejected when the file as a whole cannot be read; rows before the broken one may not have been given
 */
export async function* readCompanies(
  open: () => Bytes,
  { onColumns }: { onColumns?: (columns: Columns) => void } = {},
): AsyncGenerator<CsvLine> {
  const { encoding, damaged } = await detectEncoding(open());
  const { delimiter, skipped, text } = await withDelimiter(decoded(open(), encoding));
  const { parser, lastLine } = openParser(delimiter, skipped);
  pipeline(Readable.from(text), parser, () => {});
  const firstRows = new Map<string, number>();
  let columns: Columns | null = null;
  try {
    for await (const { record, row, lastRow, swallowing } of parser as AsyncIterable<Parsed>) {
      const isBroken = (cell: string) => damaged && cell.includes('\ufffd');
      const broken = swallowing >= 0 ? swallowing : record.findIndex(isBroken);
      const reason = swallowing >= 0 ? strayQuote(row, lastRow) : notUtf8;
      if (columns === null) {
        if (broken >= 0) throw new CsvRejected(reason, { row });
        if (record.every((cell) => cell.trim() === '')) continue;
        columns = findColumns(record, row);
        onColumns?.(columns);
        continue;
      }
      if (broken >= 0) {
        yield { status: 'rejected', row, column: columns.headers[broken] ?? null, reason };
        continue;
      }
      const line = readLine(record, columns, row);
      if (line === null) continue;
      if (line.status === 'rejected') {
        yield line;
        continue;
      }
      const company = line.name ?? line.domain ?? '';
      const key = naturalKey({ name: company, domain: line.domain });
      const of = firstRows.get(key);
      if (of !== undefined) {
        yield { status: 'double', row, of, company: line.domain ?? company };
        continue;
      }
      firstRows.set(key, row);
      yield line;
    }
  } catch (error) {
    throw translated(error, lastLine());
  }
  if (columns === null) throw new CsvRejected('the file is empty', { row: 1 });
}
