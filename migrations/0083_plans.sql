-- Up Migration

-- What a statement changed is compared with what was before by a plan of its own each time: a plan that was made when one
-- row had changed, and a connection keeps its plans, compares each row with each when a thousand have.

create or replace function aim.note_rows() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'insert', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from after
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
    when 'UPDATE' then
      execute $sql$
        insert into changes (user_id, campaign_id, entity, op, ids)
        select n.user_id, n.campaign_id, $1, 'update', array_agg(n.id)
        from (
          select a.user_id, a.campaign_id, a.id, (row_number() over (partition by a.campaign_id) - 1) / 1000 as part
          from after a join before b on b.id = a.id where a.version <> b.version
        ) n
        where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
        group by n.user_id, n.campaign_id, n.part
      $sql$ using tg_argv[0];
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'delete', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from before
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
  end case;
  return null;
end
$body$;

create or replace function aim.note_states() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], case tg_argv[0] when 'job' then 'queued' else 'insert' end, g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from after) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
    when 'UPDATE' then
      -- Feeding and claiming, the most frequent of all, end nothing and begin nothing anew.
      if not exists (select from after where status in ('completed', 'failed', 'cancelled'))
        and not exists (select from before where status in ('completed', 'failed', 'cancelled')) then
        return null;
      end if;
      execute $sql$
        insert into changes (user_id, campaign_id, entity, op, ids)
        select g.user_id, g.campaign_id, $1, g.status, g.ids
        from (
          select n.user_id, n.campaign_id, n.status, array_agg(n.id) as ids
          from (
            select a.user_id, a.campaign_id, a.status, a.id, (row_number() over () - 1) / 1000 as part
            from after a join before b on b.id = a.id
            where a.status <> b.status and (
              a.status in ('completed', 'failed', 'cancelled')
              or (a.status = 'queued' and b.status in ('completed', 'failed', 'cancelled'))
            )
          ) n
          group by n.user_id, n.campaign_id, n.status, n.part
        ) g
        where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null)
      $sql$ using tg_argv[0];
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], 'delete', g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from before) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
  end case;
  return null;
end
$body$;

create or replace function aim.company_renamed() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  execute $sql$
    update company_research r set search_vector = n.search_vector
    from new_rows n join old_rows o on o.id = n.id
    where (o.name, o.domain) is distinct from (n.name, n.domain) and r.company_id = n.id
  $sql$;
  return null;
end
$body$;

-- A cached list is valid while this says no: it looks into the tenant's index, however much others have written today.
alter function aim.changed_since(uuid, xid8) set enable_seqscan = off;
alter function aim.changed_since(uuid, xid8) set enable_bitmapscan = off;

-- Each job's batch and company are looked up by their ids, which the other conditions must not keep the planner from:
-- it would walk all batches of the provider for each job.
alter policy tenant_inserts on research_jobs with check (
  user_id = (select aim.tenant())
  and exists (select from research_batches b where b.id = batch_id
    and b.campaign_id is not distinct from research_jobs.campaign_id
    and b.provider_id is not distinct from research_jobs.provider_id)
  and exists (select from companies c where c.id = company_id
    and c.campaign_id is not distinct from research_jobs.campaign_id)
);

-- Statistics of a large table are made anew once a hundredth of it has changed, not a tenth: until then the planner takes
-- a campaign that was just imported for an empty one.
alter table companies set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);
alter table contacts set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);
alter table company_research set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);
alter table prospect_research set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);
alter table research_batches set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);
alter table research_jobs set (autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 1000);

-- Down Migration

create or replace function aim.note_rows() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'insert', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from after
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
    when 'UPDATE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'update', array_agg(n.id)
      from (
        select a.user_id, a.campaign_id, a.id, (row_number() over (partition by a.campaign_id) - 1) / 1000 as part
        from after a join before b on b.id = a.id where a.version <> b.version
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'delete', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from before
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
  end case;
  return null;
end
$body$;

create or replace function aim.note_states() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], case tg_argv[0] when 'job' then 'queued' else 'insert' end, g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from after) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
    when 'UPDATE' then
      -- Feeding and claiming, the most frequent of all, end nothing and begin nothing anew.
      if not exists (select from after where status in ('completed', 'failed', 'cancelled'))
        and not exists (select from before where status in ('completed', 'failed', 'cancelled')) then
        return null;
      end if;
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], g.status, g.ids
      from (
        select n.user_id, n.campaign_id, n.status, array_agg(n.id) as ids
        from (
          select a.user_id, a.campaign_id, a.status, a.id, (row_number() over () - 1) / 1000 as part
          from after a join before b on b.id = a.id
          where a.status <> b.status and (
            a.status in ('completed', 'failed', 'cancelled')
            or (a.status = 'queued' and b.status in ('completed', 'failed', 'cancelled'))
          )
        ) n
        group by n.user_id, n.campaign_id, n.status, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], 'delete', g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from before) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
  end case;
  return null;
end
$body$;

create or replace function aim.company_renamed() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  update company_research r set search_vector = n.search_vector
  from new_rows n join old_rows o on o.id = n.id
  where (o.name, o.domain) is distinct from (n.name, n.domain) and r.company_id = n.id;
  return null;
end
$body$;

alter function aim.changed_since(uuid, xid8) reset enable_seqscan;
alter function aim.changed_since(uuid, xid8) reset enable_bitmapscan;
alter policy tenant_inserts on research_jobs with check (
  user_id = (select aim.tenant())
  and exists (select from research_batches b where b.id = batch_id and b.campaign_id = research_jobs.campaign_id
    and b.provider_id = research_jobs.provider_id)
  and exists (select from companies c where c.id = company_id and c.campaign_id = research_jobs.campaign_id)
);
alter table companies reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
alter table contacts reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
alter table company_research reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
alter table prospect_research reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
alter table research_batches reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
alter table research_jobs reset (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
