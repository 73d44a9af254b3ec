import Table from 'cli-table3';
import { connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Stack } from '../stack/stack.ts';
import type { Imported } from './import.ts';
import type { BatchState } from './progress.ts';

interface Totals {
  companies: number;
  jobs: number;
  completed: number;
  failed: number;
  open: number;
  missing: number;
  twice: number;
  researched: number;
  prospects: number;
}

interface Sample {
  name: string;
  domain: string | null;
  status: string;
  tries: number;
  found: string | null;
  people: number;
}

/** A table that a terminal of so many columns does not break: what is found has the room that is left. */
export function tableOf(samples: Sample[], columns: number): string {
  const hasDomains = columns >= 100;
  const widths = [columns < 120 ? 20 : 26, ...(hasDomains ? [24] : []), 11, 7, 8];
  // A border before each column, and one behind the last.
  const left = columns - widths.reduce((sum, width) => sum + width + 1, 0) - 2;
  const table = new Table({
    head: ['Company', ...(hasDomains ? ['Domain'] : []), 'Ended', 'Tries', 'People', 'Found'],
    style: { head: [], border: [] },
    colWidths: [...widths, Math.min(80, Math.max(12, left))],
    wordWrap: false,
  });
  for (const { name, domain, status, tries, people, found } of samples)
    table.push([name, ...(hasDomains ? [domain ?? '–'] : []), status, tries, people, found ?? '–']);
  return table.toString();
}

/** Prints what became of the batch, counted in the database. @returns whether nothing was lost and nothing came twice */
export async function report(run: {
  stack: Stack;
  campaignId: string;
  batchId: string;
  imported: Imported;
  ended: BatchState & { seconds: number };
}): Promise<boolean> {
  const db = connect(run.stack.databaseUrl);
  try {
    const [totals] = await db.query<Totals>(sql('demo.totals')`
      select
        (select count(*) from companies where campaign_id = ${run.campaignId}) as companies,
        count(*) as jobs,
        count(*) filter (where j.status = 'completed') as completed,
        count(*) filter (where j.status = 'failed') as failed,
        count(*) filter (where j.status in ('queued', 'processing')) as open,
        (select count(*) from companies c where c.campaign_id = ${run.campaignId} and not exists (
          select from research_jobs m where m.batch_id = ${run.batchId} and m.company_id = c.id)) as missing,
        (select count(*) from company_research where campaign_id = ${run.campaignId} and generation > 1) as twice,
        (select count(*) from company_research where campaign_id = ${run.campaignId}) as researched,
        (select count(*) from prospect_research where campaign_id = ${run.campaignId}) as prospects
      from research_jobs j where j.batch_id = ${run.batchId}`);
    if (!totals) throw new Error('the database gave no totals');
    const samples = await db.query<Sample>(
      sql('demo.samples')`
      select c.name, c.domain, j.status, 1 + j.retry_count + j.throttle_count as tries,
        coalesce(r.summary, j.error_message) as found,
        (select count(*) from prospect_research p where p.company_research_id = r.id) as people
      from research_jobs j
      join companies c on c.id = j.company_id
      left join company_research r on r.company_id = c.id and r.campaign_id = c.campaign_id and r.kind = j.kind
      where j.batch_id = ${run.batchId}
      order by j.status = 'failed' desc, j.retry_count desc, c.name limit 10`,
    );
    const outcomes = await db.query<{ outcome: string; code: string | null; attempts: number }>(sql(
      'demo.outcomes',
    )`
      select a.outcome, a.error_code as code, count(*) as attempts
      from research_attempts a join research_jobs j on j.id = a.job_id
      where j.batch_id = ${run.batchId} and a.outcome not in ('completed', 'accepted')
      group by 1, 2 order by 3 desc`);

    console.log(`\nThe most troubled of them:\n${tableOf(samples, process.stdout.columns || 80)}`);
    console.log('\nTroubles on the way:');
    for (const { outcome, code, attempts } of outcomes)
      console.log(`  ${attempts} × ${outcome}${code ? `: ${code}` : ''}`);
    if (outcomes.length === 0) console.log('  none');

    const lost = totals.missing + totals.open + (totals.companies - totals.jobs);
    const twice = totals.twice + Math.abs(totals.researched - totals.completed);
    const good = lost === 0 && twice === 0 && totals.companies === run.imported.companies;
    console.log(`
From the database: ${totals.companies} companies, ${totals.jobs} jobs: ${totals.completed} completed, ${totals.failed} failed for good, ${totals.open} open
  lost: ${lost}   twice: ${twice}   results: ${totals.researched}   prospects: ${totals.prospects}
  ${run.ended.seconds.toFixed(1)} s, ${(totals.jobs / run.ended.seconds).toFixed(0)} jobs/s, ${run.ended.retries} retries${good ? '' : '\n\nSOMETHING IS WRONG: see the numbers above and the logs.'}`);
    return good;
  } finally {
    await db.close();
  }
}

export function whereToLook({ home, batchId }: { home: string; batchId: string }): void {
  console.log(`
Where to look next:
  npm start                          keeps the stack up, with URL, API key and curl lines
  GET /v1/jobs?batchId=${batchId}
  ${`${home}/log`.padEnd(34)} what each function logged
  docs/nodes.md                      the same from n8n`);
}
