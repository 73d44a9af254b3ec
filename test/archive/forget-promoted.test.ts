import { runErasure, startErasure } from '../../core/archive/forget/erase.ts';
import { sql } from '../../core/db/sql.ts';
import { promoteProspects } from '../../core/research/promote.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

const t = sql('t');
const email = 'ann@known.example';
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase({ max: 4 });
});
afterAll(() => db.close());

/** Ann as research found her, with a way to make a contact of her and one to forget her. */
async function aProspect() {
  const { tenantId, campaignId, companyIds } = await aWorld(db, { companies: 1 });
  const [prospect] = await db.query<{ id: string }>(t`
    with research as (
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${tenantId}, ${campaignId}, ${companyIds[0]}, 'company') returning id
    )
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email)
    select ${tenantId}, ${campaignId}, ${companyIds[0]}, id, ${`email:${email}`}, 'Ann', ${email} from research returning id`);
  const request = { campaignId, prospectIds: [prospect?.id ?? ''] };
  const api = db.asApi.forTenant(tenantId);
  const { id: erasureId } = await startErasure({ db: api }, tenantId, email);
  const deps = { db: db.asWorker, log: { info: () => undefined, warn: () => undefined }, clock: Date.now };
  return {
    api,
    promote: (at = api) => promoteProspects({ db: at }, tenantId, request),
    forget: ({ remainingMs = (): number => 60_000, sleep = async (): Promise<unknown> => undefined } = {}) =>
      runErasure({ ...deps, sleep }, { erasureId, tenantId, email }, { remainingMs }),
    left: () =>
      db.query(t`select email from contacts where user_id = ${tenantId}
        union all select email from prospect_research where user_id = ${tenantId}`),
  };
}

test('a person who is promoted after any step of an erasure is forgotten all the same', async () => {
  for (let steps = 1, isDone = false; !isDone; steps++) {
    const { promote, forget, left } = await aProspect();
    let looks = 0;
    isDone = (await forget({ remainingMs: () => (looks++ < steps ? 60_000 : 0) })).done;
    await promote();
    expect(await forget()).toMatchObject({ done: true });
    expect(await left()).toEqual([]);
    expect(steps).toBeLessThan(30);
  }
});

test('a promotion that is not committed while an erasure looks for prospects is waited for', async () => {
  const { api, promote, forget, left } = await aProspect();
  let forgetting: ReturnType<typeof forget> | undefined;
  await api.transaction(async (tx) => {
    expect((await promote(tx)).counts.created).toBe(1);
    await new Promise<unknown>((resolve) => {
      forgetting = forget({ sleep: async () => resolve(undefined) });
      forgetting.then(resolve, resolve);
    });
  });
  expect(await forgetting).toMatchObject({ done: true });
  expect(await left()).toEqual([]);
});
