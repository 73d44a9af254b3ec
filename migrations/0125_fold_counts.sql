-- Up Migration

-- Folds up to 5,000 rows of one batch's counts into one. Each callback appends a row and then sums all there are, so the
-- API must be able to fold between two sweeps, and may delete none itself. It changes nothing that anybody can see.
create function aim.fold_counts(tenant uuid, batch uuid) returns int
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  taken_rows int;
begin
  perform aim.search_guard(tenant);
  -- One fold at a time, the sweep's among them: two would take the same rows.
  if not pg_try_advisory_xact_lock(hashtextextended('aim.batch_counts.fold', 0)) then
    return 0;
  end if;
  -- Lock in one statement, look in the next: a batch that is being deleted is skipped, or stays until we are done.
  perform from research_batches where id = batch and user_id = tenant for key share skip locked;
  if not found then
    return 0;
  end if;
  with taken as (
    delete from batch_counts
    where ctid = any(array(select ctid from batch_counts where batch_id = batch limit 5000))
    returning user_id, batch_id, queued, processing, completed, failed, cancelled, retries
  ), kept as (
    insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries, folded)
    select user_id, batch_id, sum(queued), sum(processing), sum(completed), sum(failed), sum(cancelled), sum(retries), true
    from taken group by user_id, batch_id
  )
  select count(*) into taken_rows from taken;
  return taken_rows;
end
$body$;
grant select (user_id) on research_batches to aim_definer;
alter function aim.fold_counts(uuid, uuid) owner to aim_definer;
revoke all on function aim.fold_counts(uuid, uuid) from public;
grant execute on function aim.fold_counts(uuid, uuid) to aim_api, aim_worker;

-- Down Migration

drop function aim.fold_counts(uuid, uuid);
revoke select (user_id) on research_batches from aim_definer;
