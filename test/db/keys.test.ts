import { randomUUID } from 'node:crypto';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { untilBlocked } from '../support/blocked.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

// Jobs and attempts have no foreign keys of Postgres: triggers look at a statement's rows together (0060_set_keys.sql).
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

interface Scene {
  tenantId: string;
  campaignId: string;
  providerId: string;
  companyIds: string[];
  batchId: string;
}
async function aBatch(): Promise<Scene> {
  const { tenantId, campaignId, companyIds, provider } = await aWorld(db, { companies: 3 });
  const [batch] = await db.query<{ id: string }>(sql('test.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind)
    values (${tenantId}, ${campaignId}, ${provider.id}, 'company') returning id`);
  return { tenantId, campaignId, companyIds, providerId: provider.id, batchId: batch?.id ?? '' };
}

const addJobs = (on: Db, scene: Scene, companyIds = scene.companyIds, batchId = scene.batchId) =>
  on.query<{ id: string }>(sql('test.jobs')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${scene.tenantId}, ${batchId}, id, ${scene.campaignId}, ${scene.providerId}, 'company'
    from unnest(${companyIds}::uuid[]) as id returning id`);

const addAttempts = (scene: Scene, jobIds: string[]) =>
  db.query(sql('test.attempts')`
    insert into research_attempts (id, user_id, job_id, provider_id, ask_id)
    select uuidv7(), ${scene.tenantId}, id, ${scene.providerId}, uuidv7() from unnest(${jobIds}::uuid[]) as id`);

async function left(scene: Scene) {
  const [row] = await db.query<{ jobs: number; attempts: number }>(sql('test.left')`
    select (select count(*) from research_jobs where user_id = ${scene.tenantId}) as jobs,
      (select count(*) from research_attempts where user_id = ${scene.tenantId}) as attempts`);
  return row;
}

test('a job needs its batch and its company, an attempt its job; one that is missing refuses the statement', async () => {
  const scene = await aBatch();
  const missing = randomUUID();
  const refusal = (constraint: string) => ({ code: '23503', constraint });
  await expect(addJobs(db, scene, [...scene.companyIds, missing])).rejects.toMatchObject(
    refusal('research_jobs_company_id_fkey'),
  );
  await expect(addJobs(db, scene, scene.companyIds, missing)).rejects.toMatchObject(
    refusal('research_jobs_batch_id_fkey'),
  );
  const [job] = await addJobs(db, scene);
  await expect(addAttempts(scene, [job?.id ?? '', missing])).rejects.toMatchObject(
    refusal('research_attempts_job_id_fkey'),
  );
  expect(await left(scene)).toEqual({ jobs: 3, attempts: 0 });
});

test('jobs go with their company and their batch, attempts with their job', async () => {
  const scene = await aBatch();
  const jobs = await addJobs(db, scene);
  await addAttempts(
    scene,
    jobs.map(({ id }) => id),
  );
  await db.query(sql('test.gone')`delete from companies where id = ${scene.companyIds[0]}`);
  expect(await left(scene)).toEqual({ jobs: 2, attempts: 2 });
  await db.query(sql('test.gone')`delete from research_batches where id = ${scene.batchId}`);
  expect(await left(scene)).toEqual({ jobs: 0, attempts: 0 });
});

test('a job keeps its company, its batch and its id', async () => {
  const scene = await aBatch();
  await addJobs(db, scene, scene.companyIds.slice(0, 1));
  for (const column of ['id', 'batch_id', 'company_id'])
    await expect(
      db.query(sql('test.move')`
        update research_jobs set ${sql.identifier(column)} = ${randomUUID()} where user_id = ${scene.tenantId}`),
    ).rejects.toMatchObject({ code: '23001' });
});

test('a session that began with a handful of companies makes jobs of thousands as fast as any', async () => {
  const own = await testDatabase({ max: 1 });
  const { tenantId, campaignId, companyIds, provider } = await aWorld(own, { companies: 2 });
  await own.query(sql('test.analyze')`analyze companies`);
  const [batch] = await own.query<{ id: string }>(sql('test.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind)
    values (${tenantId}, ${campaignId}, ${provider.id}, 'company') returning id`);
  const scene = { tenantId, campaignId, companyIds, providerId: provider.id, batchId: batch?.id ?? '' };
  await addJobs(own, scene);
  await own.query(sql('test.many')`
    insert into companies (user_id, campaign_id, name, domain, natural_key)
    select ${tenantId}, ${campaignId}, 'Many ' || n, 'many-' || n || '.example', 'many-' || n || '.example'
    from generate_series(1, 40000) n`);
  const many = await own.query<{ id: string }>(sql('test.some')`
    select id from companies where name like 'Many%' order by id limit 2000`);
  // Each row compared with each took a minute and more; otherwise it is a fifth of a second.
  await own.query(sql('test.patience')`select set_config('statement_timeout', '25s', false)`);
  const made = await addJobs(
    own,
    scene,
    many.map(({ id }) => id),
  );
  expect(made).toHaveLength(2_000);
  const gone = await own.query(sql('test.gone')`
    delete from companies where id = any(${many.map(({ id }) => id)}::uuid[]) returning id`);
  expect(gone).toHaveLength(2_000);
  expect(await own.query(sql('test.left')`select id from research_jobs`)).toHaveLength(2);
  await own.close();
}, 90_000);

test('parents are not deleted under REPEATABLE READ, which would not see the jobs that came meanwhile', async () => {
  const scene = await aBatch();
  await addJobs(db, scene);
  const deleting = db.transaction(async (tx) => {
    await tx.query(sql('test.level')`set transaction isolation level repeatable read`);
    await tx.query(sql('test.gone')`delete from companies where id = ${scene.companyIds[0]}`);
  });
  await expect(deleting).rejects.toMatchObject({ code: '25001' });
  expect(await left(scene)).toEqual({ jobs: 3, attempts: 0 });
});

test.each(['companies', 'research_batches'] as const)(
  'whoever deletes from %s waits for a job that is not committed yet, and takes it along',
  async (table) => {
    const scene = await aBatch();
    const [firstCompany = ''] = scene.companyIds;
    const parent = table === 'companies' ? firstCompany : scene.batchId;
    let deletion: Promise<unknown> = Promise.resolve();
    await db.transaction(async (tx) => {
      await addJobs(tx, scene, [firstCompany]);
      deletion = db.query(sql('test.gone')`delete from ${sql.identifier(table)} where id = ${parent}`);
      await untilBlocked(db, 1);
    });
    await deletion;
    expect(await left(scene)).toEqual({ jobs: 0, attempts: 0 });
  },
);

test.each(['companies', 'research_batches'] as const)(
  'a job waits for a deletion from %s that is not committed yet, and is refused',
  async (table) => {
    const scene = await aBatch();
    const [firstCompany = ''] = scene.companyIds;
    const parent = table === 'companies' ? firstCompany : scene.batchId;
    let refused: Promise<unknown> = Promise.resolve();
    await db.transaction(async (tx) => {
      await tx.query(sql('test.gone')`delete from ${sql.identifier(table)} where id = ${parent}`);
      refused = addJobs(db, scene, [firstCompany]).then(
        () => 'taken',
        (error: { code?: string }) => error.code,
      );
      await untilBlocked(db, 1);
    });
    expect(await refused).toBe('23503');
    expect(await left(scene)).toEqual({ jobs: 0, attempts: 0 });
  },
);
