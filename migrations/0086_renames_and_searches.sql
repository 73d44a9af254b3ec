-- Up Migration

-- Research of renamed companies is locked in the order in which settling does: the two of them at once, each having what
-- the other waits for, cost the answers that were being settled.
create or replace function aim.company_renamed() returns trigger language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
begin
  execute $sql$
    with renamed as (
      select n.id, n.search_vector from new_rows n join old_rows o on o.id = n.id
      where (o.name, o.domain) is distinct from (n.name, n.domain)
    ), held as (
      select r.id, renamed.search_vector from renamed join company_research r on r.company_id = renamed.id
      order by r.company_id, r.kind for no key update of r
    )
    update company_research r set search_vector = held.search_vector from held where r.id = held.id
  $sql$;
  return null;
end
$$;

-- Where a tenant's newest rows are all of a campaign that is being deleted, nothing was found among them, and the search
-- took that for an answer: null is not true, nor is it false.
do $$
declare
  entity text;
  made text;
  mended text;
begin
  foreach entity in array array['companies', 'contacts', 'research'] loop
    made := pg_get_functiondef(format('aim.walk_%s', entity)::regproc);
    mended := replace(made, 'complete or cardinality(ids) = 1000', 'complete or coalesce(cardinality(ids), 0) = 1000');
    if mended = made then
      raise exception 'aim.walk_% is not as expected', entity;
    end if;
    execute mended;
  end loop;
end
$$;

-- Down Migration

create or replace function aim.company_renamed() returns trigger language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
begin
  execute $sql$
    update company_research r set search_vector = n.search_vector
    from new_rows n join old_rows o on o.id = n.id
    where (o.name, o.domain) is distinct from (n.name, n.domain) and r.company_id = n.id
  $sql$;
  return null;
end
$$;

do $$
declare
  entity text;
begin
  foreach entity in array array['companies', 'contacts', 'research'] loop
    execute replace(pg_get_functiondef(format('aim.walk_%s', entity)::regproc),
      'complete or coalesce(cardinality(ids), 0) = 1000', 'complete or cardinality(ids) = 1000');
  end loop;
end
$$;
