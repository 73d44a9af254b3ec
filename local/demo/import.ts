import { createReadStream, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type Columns, listed } from '../../core/import/columns.ts';
import { readCompanies } from '../../core/import/csv.ts';
import type { CompanyLine } from '../../core/import/row.ts';
import type { Api } from '../api.ts';

export interface Imported {
  rows: number;
  companies: number;
  doubles: number;
  rejected: number;
}

interface BulkAnswer {
  results: { index: number; status: string; errors?: { path: string; message: string }[] }[];
}

const rowsPerCall = 1_000;
/** Below the API's limit of 1 MiB a call. */
const bytesPerCall = 900 * 1024;
const shown = 8;

/** Reads it from end to end, so that what cannot be read is told before anything is started. @throws Error that says why */
export async function checkCsv(file: string): Promise<void> {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile())
    throw new Error(`${file} ${found ? 'is not a file' : 'does not exist'}; give a CSV file with --csv`);
  try {
    for await (const _ of readCompanies(() => createReadStream(file)));
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Imports a CSV file over the API, a thousand rows a call, and says of each row that is not taken why, and when no column
 * is the domain.
 * @param log gets them all where they are too many for the terminal
 */
export async function importCsv(
  api: Api,
  campaignId: string,
  { file, log }: { file: string; log: string },
): Promise<Imported> {
  const startedAt = Date.now();
  const count: Imported = { rows: 0, companies: 0, doubles: 0, rejected: 0 };
  const notes: string[] = [];
  const onColumns = ({ headers, domains }: Columns) => {
    if (domains.length > 0) return;
    notes.push(
      `no column is the domain, so companies are known by their names alone; call it "domain" or "website" (found: ${listed(headers)})`,
    );
  };
  let chunk: CompanyLine[] = [];
  let chunkBytes = 0;

  const flush = async () => {
    const rows = chunk.map(({ name, domain, attributes }) => ({
      ...(name === null ? {} : { name }),
      ...(domain === null ? {} : { domain }),
      attributes,
    }));
    if (rows.length === 0) return;
    const { results } = await api<BulkAnswer>('POST', '/v1/companies/bulk', { campaignId, rows });
    for (const { index, status, errors } of results) {
      if (status !== 'rejected') {
        count.companies++;
        continue;
      }
      count.rejected++;
      notes.push(`row ${chunk[index]?.row}: not taken: ${errors?.[0]?.path} ${errors?.[0]?.message}`);
    }
    chunk = [];
    chunkBytes = 0;
  };

  for await (const line of readCompanies(() => createReadStream(file), { onColumns })) {
    count.rows++;
    if (line.status === 'company') {
      const bytes = Buffer.byteLength(JSON.stringify(line));
      if (chunkBytes + bytes > bytesPerCall) await flush();
      chunk.push(line);
      chunkBytes += bytes;
    } else if (line.status === 'double') {
      count.doubles++;
      notes.push(`row ${line.row}: the same company as row ${line.of} (${line.company})`);
    } else {
      count.rejected++;
      notes.push(`row ${line.row}${line.column ? `, column ${line.column}` : ''}: not taken: ${line.reason}`);
    }
    if (chunk.length === rowsPerCall) await flush();
  }
  await flush();
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `\n${basename(file)}: ${count.rows} rows → ${count.companies} companies, ${count.doubles} doubles, ${count.rejected} not taken (${seconds} s)`,
  );
  for (const note of notes.slice(0, shown)) console.log(`  ${note}`);
  if (notes.length > shown) {
    mkdirSync(dirname(log), { recursive: true });
    writeFileSync(log, `${notes.join('\n')}\n`);
    console.log(`  … and ${notes.length - shown} more; all of them in ${log}`);
  }
  return count;
}
