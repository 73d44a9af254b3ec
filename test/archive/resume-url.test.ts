import { columnsOf, restoring } from '../../core/archive/columns.ts';
import { sql } from '../../core/db/sql.ts';
import { archived, digestOf, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { tracesOf } from './traces.ts';

const t = sql('t');
const url = 'https://n8n.example/webhook-waiting/17?signature=s3cret';
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** A closed batch whose resume came to this end. */
async function aBatch(state: 'done' | 'failed') {
  const world = await aWorld(db, { companies: 1 });
  const [batch] = await db.query<{ id: string }>(t`
    insert into research_batches (user_id, campaign_id, provider_id, kind, status, sealed_at, expanded_at, finished_at,
      resume_url, resume_state, resume_by, resume_attempts, resume_error)
    values (${world.tenantId}, ${world.campaignId}, ${world.provider.id}, 'company', 'completed', now(), now(), now(), ${url},
      ${state}, now(), 3, 'http_404') returning id`);
  return { ...world, batchId: batch?.id ?? '' };
}
const resumeOf = async (id: string) =>
  (
    await db.query(t`select resume_url as url, resume_state as state, resume_attempts as attempts, resume_error as error
      from research_batches where id = ${id}`)
  )[0];
const trigger = (what: 'enable' | 'disable') =>
  db.query({
    statement: 't',
    text: `alter table research_batches ${what} trigger forget_resume_url`,
    values: [],
  });

test.each(['done', 'failed'] as const)(
  'a closed batch whose resume is %s forgets the URL and keeps the rest',
  async (state) => {
    const { batchId } = await aBatch(state);
    expect(await resumeOf(batchId)).toEqual({ url: null, state, attempts: 3, error: 'http_404' });
    expect(await tracesOf(db, 's3cret')).toEqual([]);
  },
);

test('the URL of an open batch whose wait is over stays until the batch is closed', async () => {
  const { batchId } = await aBatch('done');
  await db.query(
    t`update research_batches set status = 'open', finished_at = null, resume_url = ${url} where id = ${batchId}`,
  );
  expect(await resumeOf(batchId)).toMatchObject({ url });
  await db.query(
    t`update research_batches set status = 'cancelled', finished_at = now() where id = ${batchId}`,
  );
  expect(await resumeOf(batchId)).toMatchObject({ url: null, state: 'done' });
});

test('a URL that a row of before still has stays out of the archive, and everything else comes back', async () => {
  await trigger('disable');
  const { batchId, tenantId, campaignId } = await aBatch('failed');
  await trigger('enable');
  expect(await tracesOf(db, 's3cret')).toEqual(['research_batches']);
  const before = (await digestOf(db, campaignId)).research_batches;
  await archived(db, tenantId, campaignId);
  expect(await tracesOf(db, 's3cret')).toEqual([]);
  await restored(db, tenantId, campaignId);
  expect(await resumeOf(batchId)).toEqual({ url: null, state: 'failed', attempts: 3, error: 'http_404' });
  const after = (await digestOf(db, campaignId)).research_batches;
  expect({ ...after, resume_url: null }).toEqual({ ...before, resume_url: null });
});

test('an archive that was made with the URL is restored without it, and nothing is told of as lost', async () => {
  const now = await columnsOf(db, 'research_batches');
  expect(now.map(({ name }) => name)).not.toContain('resume_url');
  const kept = [...now, { name: 'resume_url', type: 'text' }];
  expect(restoring(kept, now)).toMatchObject({ lost: [] });
});
