-- Up Migration

-- A stamp is committed before its message is sent. What a process that died in between had picked is known from here
-- within a minute, instead of from stamps that last a quarter of an hour and more.
create table research_outbox (
  feed_id uuid not null,
  user_id uuid not null,
  part int not null,
  job_ids uuid[] not null,
  picked_at timestamptz not null default now(),
  primary key (feed_id, user_id, part)
);
comment on table research_outbox is
  'Jobs that were picked for the queue, until they are sent: up to 1,000 a row. A row older than a minute is of a process that died.';
-- Ids hardly compress, and a row lives for some milliseconds.
alter table research_outbox alter column job_ids set storage external;
-- Serves the sweep: what was picked and not sent, the oldest first.
create index research_outbox_picked on research_outbox (picked_at);

alter table research_outbox enable row level security;
alter table research_outbox force row level security;
create policy worker on research_outbox to aim_worker using (true) with check (true);
create policy definer on research_outbox to aim_definer using (true) with check (true);
create policy tenant on research_outbox to aim_api using (coalesce(user_id = (select aim.tenant()), false))
  with check (coalesce(user_id = (select aim.tenant()), false));
revoke all on research_outbox from public;
do $body$
begin
  if to_regrole('authenticated') is not null then
    revoke all on research_outbox from anon, authenticated;
  end if;
end
$body$;
grant select, insert, delete on research_outbox to aim_api;
-- UPDATE, for a row that is locked before it is taken away.
grant select, insert, update, delete on research_outbox to aim_worker;

-- Down Migration

drop table research_outbox;
