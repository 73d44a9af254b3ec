-- Up Migration

-- What each table holds, where psql and Supabase show it, and where docs/schema.md takes it from.
comment on table api_keys is 'Keys of the HTTP API: the SHA-256, never the key.';
comment on table idempotency_keys is 'One row for each Idempotency-Key, with the answer it got; forgotten after a day.';
comment on table campaigns is 'What companies and contacts belong to. `archived` and `deleted_at` take it out of sight.';
comment on table companies is 'Companies of a campaign, one for each natural key: the domain, else the name.';
comment on table contacts is 'People of a campaign, one for each email; those without an email are always new.';
comment on table research_providers is 'Who does research: an endpoint with its secret, limits and state.';
comment on table research_batches is 'One dispatch: it ends once it is sealed, expanded and its last job has ended.';
comment on table research_jobs is 'One company in one batch. The backlog: a queue carries only ids of these rows.';
comment on table research_attempts is 'Every attempt of every job, with its outcome; answers why a job is where it is.';
comment on table company_research is 'What was found about a company: one row for each company and kind.';
comment on table prospect_research is 'People found by research.';
comment on table dead_letters is 'Messages that could not be processed, as bytes, once each.';
comment on table campaign_count_deltas is 'What each statement added to a campaign''s counts, until the sweep folds it.';
comment on table changes is 'The change feed, in daily partitions of schema `aim`.';
comment on table change_floor is 'One row: the highest transaction whose changes were pruned.';
comment on table subscriptions is 'Receivers of changes: each is a cursor into the feed.';
comment on table archived_campaigns is 'Campaigns in the archive: the row, and what its chunks must add up to.';
comment on table archive_chunks is 'Up to 1,000 archived rows of one table, with count and SHA-256.';

-- Down Migration

-- Nothing to take back: comments bind nobody.
