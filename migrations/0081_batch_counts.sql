-- Up Migration

-- How many jobs of a batch are in which state, without reading them: to look at a batch of a million took half a
-- second, and a page of such batches did not end at all. Each statement on jobs appends what it changed, in its own
-- transaction, so that a snapshot sees jobs and counts together or neither; the sweep folds the rows of a batch into
-- one. A batch's counts are the sum of its rows.
create table batch_counts (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  batch_id uuid not null,
  queued bigint not null,
  processing bigint not null,
  completed bigint not null,
  failed bigint not null,
  cancelled bigint not null,
  retries bigint not null,
  folded boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Serves the counts of a batch, from the index alone, and the fold.
create index batch_counts_batch on batch_counts (batch_id)
  include (user_id, queued, processing, completed, failed, cancelled, retries);
-- Serves the fold: what came since the last one, oldest first.
create index batch_counts_unfolded on batch_counts (id) where not folded;

comment on table batch_counts is
  'What the jobs of a batch add up to: the sum of its rows, one of each statement that moved some, until the sweep folds them into one.';

alter table batch_counts enable row level security;
alter table batch_counts force row level security;
create policy worker on batch_counts to aim_worker using (true) with check (true);
create policy definer on batch_counts to aim_definer using (true) with check (true);
create policy tenant on batch_counts to aim_api using (coalesce(user_id = (select aim.tenant()), false));
revoke all on batch_counts from public;
do $body$
begin
  if to_regrole('authenticated') is not null then
    revoke all on batch_counts from anon, authenticated;
    revoke all on sequence batch_counts_id_seq from anon, authenticated;
  end if;
end
$body$;
grant select on batch_counts to aim_api;
grant select, insert, delete on batch_counts to aim_worker;
grant select, insert, delete on batch_counts to aim_definer;

-- Fires for every update (a trigger with transition tables cannot name columns); appends only what changed.
create function aim.count_jobs() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id,
        count(*) filter (where status = 'queued'), count(*) filter (where status = 'processing'),
        count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed'),
        count(*) filter (where status = 'cancelled'), sum(retry_count)
      from after group by user_id, batch_id;
    when 'UPDATE' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id,
        coalesce(sum(n) filter (where status = 'queued'), 0), coalesce(sum(n) filter (where status = 'processing'), 0),
        coalesce(sum(n) filter (where status = 'completed'), 0), coalesce(sum(n) filter (where status = 'failed'), 0),
        coalesce(sum(n) filter (where status = 'cancelled'), 0), sum(retries)
      from (
        select user_id, batch_id, status, sum(n) as n, sum(n * retry_count) as retries
        from (
          select user_id, batch_id, status, retry_count, 1 as n from after
          union all
          select user_id, batch_id, status, retry_count, -1 from before
        ) both_ways
        group by user_id, batch_id, status
      ) moved
      group by user_id, batch_id having bool_or(n <> 0) or sum(retries) <> 0;
    when 'DELETE' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id, -queued, -processing, -completed, -failed, -cancelled, -retries
      from (
        select user_id, batch_id,
          count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'processing') as processing,
          count(*) filter (where status = 'completed') as completed, count(*) filter (where status = 'failed') as failed,
          count(*) filter (where status = 'cancelled') as cancelled, sum(retry_count) as retries
        from before group by user_id, batch_id
      ) gone
      -- Jobs that go because their batch went count for nobody.
      where exists (select from research_batches b where b.id = gone.batch_id);
  end case;
  return null;
end
$body$;

-- Fires once the batch's jobs are gone (by its name, after keys_deleted), so that it takes along what others counted
-- while that waited for them. A fold shares the batch's key while it writes: whichever comes second sees the other.
create function aim.counts_go() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  delete from batch_counts where batch_id = any((select array_agg(id) from removed)::uuid[]);
  return null;
end
$body$;

alter function aim.count_jobs() owner to aim_definer;
alter function aim.counts_go() owner to aim_definer;
revoke all on function aim.count_jobs(), aim.counts_go() from public;

-- Parents first, as writers take them. Readers go on: triggers are made without shutting them out.
lock table research_batches, research_jobs in share row exclusive mode;
create trigger count_inserted after insert on research_jobs
  referencing new table as after for each statement execute function aim.count_jobs();
create trigger count_updated after update on research_jobs
  referencing old table as before new table as after for each statement execute function aim.count_jobs();
create trigger count_deleted after delete on research_jobs
  referencing old table as before for each statement execute function aim.count_jobs();
create trigger tally_deleted after delete on research_batches
  referencing old table as removed for each statement execute function aim.counts_go();

-- Down Migration

lock table research_batches, research_jobs in access exclusive mode;
drop trigger tally_deleted on research_batches;
drop trigger count_deleted on research_jobs;
drop trigger count_updated on research_jobs;
drop trigger count_inserted on research_jobs;
drop function aim.counts_go();
drop function aim.count_jobs();
drop table batch_counts;
