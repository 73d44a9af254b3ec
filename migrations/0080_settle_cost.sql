-- Up Migration

-- Who writes research in sets brings the search vectors of its companies along: to look one up for each row was a
-- fifth of what it costs to write one.
create or replace trigger search_vector before insert on company_research
  for each row when (new.search_vector is null) execute function aim.research_search_vector();
-- What it brings may be old: the company may have been renamed while the statement waited for a lock, and who renames
-- finds no research yet. A look at all rows together, for those that differ.
create function aim.research_search_current() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $body$
begin
  perform from added a join companies c on c.id = a.company_id
  where a.search_vector is distinct from c.search_vector limit 1;
  if found then
    update company_research r set search_vector = c.search_vector
    from added a join companies c on c.id = a.company_id
    where r.id = a.id and r.search_vector is distinct from c.search_vector;
  end if;
  return null;
end
$body$;
alter function aim.research_search_current() owner to aim_definer;
revoke all on function aim.research_search_current() from public;
create trigger search_current after insert on company_research
  referencing new table as added for each statement execute function aim.research_search_current();
create trigger search_vector_moved before update of company_id on company_research
  for each row execute function aim.research_search_vector();

-- An attempt is written once and then gets its outcome: with room for that in its page, no index is written again.
alter table research_attempts set (fillfactor = 45);

-- Down Migration

alter table research_attempts reset (fillfactor);
drop trigger search_vector_moved on company_research;
drop trigger search_current on company_research;
drop function aim.research_search_current();
create or replace trigger search_vector before insert or update of company_id on company_research
  for each row execute function aim.research_search_vector();
