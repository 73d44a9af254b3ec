import { randomUUID } from 'node:crypto';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { aWorld } from './factories.ts';

const t = sql('test.everything');

/** A tenant with a row in every table. Every name and text of it holds `mark`, a word, so that a leak is seen. */
export async function oneOfEverything(db: Db, mark: string) {
  const { tenantId, campaignId, companyIds, provider } = await aWorld(db, { companies: 2, name: mark });
  const companyId = companyIds[0] ?? '';
  const askId = randomUUID();
  const one = async (statement: Statement): Promise<string> => {
    const [row] = await db.query<{ id: string }>(statement);
    if (!row) throw new Error('the insert returned no row');
    return row.id;
  };
  await db.query(t`update campaigns set name = ${`${mark} campaign`} where id = ${campaignId}`);
  await db.query(t`
    update companies set name = ${mark} || ' ' || id, attributes = jsonb_build_object(${mark}::text, ${mark}::text),
      domain = ${mark} || '-' || id || '.example', natural_key = ${mark} || '-' || id || '.example'
    where user_id = ${tenantId}`);
  const [company] = await db.query<{ domain: string }>(
    t`select domain from companies where id = ${companyId}`,
  );
  const contactId = await one(t`
    insert into contacts (user_id, campaign_id, company_id, full_name, email, title, attributes)
    values (${tenantId}, ${campaignId}, ${companyId}, ${mark}, ${`ada@${mark}.example`}, ${mark},
      jsonb_build_object(${mark}::text, ${mark}::text)) returning id`);
  const batchId = await one(t`
    insert into research_batches (user_id, campaign_id, provider_id, kind, total)
    values (${tenantId}, ${campaignId}, ${provider.id}, ${mark}, 1) returning id`);
  const jobId = await one(t`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, error_code,
      error_message, finished_at)
    values (${tenantId}, ${batchId}, ${companyId}, ${campaignId}, ${provider.id}, ${mark}, 'failed', ${mark}, ${mark}, now())
    returning id`);
  const attemptId = await one(t`
    insert into research_attempts (id, user_id, job_id, provider_id, ask_id)
    values (${randomUUID()}, ${tenantId}, ${jobId}, ${provider.id}, ${askId}) returning id`);
  const researchId = await one(t`
    insert into company_research (user_id, campaign_id, company_id, kind, summary, findings)
    values (${tenantId}, ${campaignId}, ${companyId}, ${mark}, ${mark}, jsonb_build_object(${mark}::text, 1)) returning id`);
  const prospectId = await one(t`
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email)
    values (${tenantId}, ${campaignId}, ${companyId}, ${researchId}, ${mark}, ${mark}, ${`eve@${mark}.example`})
    returning id`);
  const subscriptionId = await one(t`
    insert into subscriptions (user_id, key, url, secret, events, cursor_epoch, cursor_xid, cursor_seq)
    values (${tenantId}, ${mark}, ${`https://${mark}.example/`}, 'whsec_x', array['*'], '1', '1', 1) returning id`);
  const archiveId = await one(t`
    insert into archived_campaigns (id, user_id, name, campaign, state, schema_version)
    values (${randomUUID()}, ${tenantId}, ${mark}, jsonb_build_object('name', ${mark}::text), 'archiving', '1') returning id`);
  const deadLetterId = await one(t`
    insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
    values (${tenantId}, 'research', ${mark}, ${Buffer.from(mark)}, ${mark}, 'unreadable', ${mark}) returning id`);
  await db.query(t`
    insert into late_results (attempt_id, user_id, job_id, summary) values (${attemptId}, ${tenantId}, ${jobId}, ${mark})`);
  await db.query(t`
    insert into research_outbox (feed_id, user_id, part, job_ids)
    values (${randomUUID()}, ${tenantId}, 0, array[${jobId}::uuid])`);
  await db.query(t`
    insert into archive_chunks (archive_id, table_name, number, user_id, row_count, sha256, columns, rows)
    values (${archiveId}, 'contacts', 1, ${tenantId}, 1, ${Buffer.alloc(32)},
      '[["id", "uuid"], ["full_name", "text"], ["email", "text"]]',
      jsonb_build_array(replace(${contactId}::text, '-', ''), array[${mark}::text], array[${`ada@${mark}.example`}::text]))`);
  await db.query(t`insert into archive_policies (user_id, idle_days) values (${tenantId}, 30)`);
  const eventId = await one(t`
    insert into archive_events (user_id, campaign_id, action, outcome, reason, error_code, error_message)
    values (${tenantId}, ${campaignId}, 'archive', 'failed', 'idle', ${mark}, ${mark}) returning id`);
  const erasureId = await one(t`
    insert into erasures (user_id, email_hash, finished_at) values (${tenantId}, sha256(${Buffer.from(mark)}::bytea), now())
    returning id`);
  await db.query(t`
    insert into idempotency_keys (user_id, key, request_hash) values (${tenantId}, ${mark}, ${Buffer.alloc(32)})`);
  await db.query(t`
    insert into campaign_count_deltas (user_id, campaign_id, companies) values (${tenantId}, ${campaignId}, 1)`);
  await db.query(t`
    insert into changes (user_id, campaign_id, entity, op, ids)
    values (${tenantId}, ${campaignId}, 'campaign', 'insert', array[${campaignId}::uuid])`);
  await db.query(t`
    insert into api_keys (user_id, name, prefix, hash, scopes)
    values (${tenantId}, ${mark}, 'afl_', sha256(${Buffer.from(mark)}::bytea), array['read'])`);
  return {
    tenantId,
    mark,
    provider,
    ids: {
      campaignId,
      companyId,
      contactId,
      batchId,
      jobId,
      attemptId,
      askId,
      researchId,
      prospectId,
      subscriptionId,
      archiveId,
      eventId,
      erasureId,
      deadLetterId,
      providerId: provider.id,
    },
    domain: company?.domain ?? '',
  };
}

export type Everything = Awaited<ReturnType<typeof oneOfEverything>>;
