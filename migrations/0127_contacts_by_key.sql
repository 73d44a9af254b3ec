-- Up Migration

-- Each address is looked up by a range of one, whose order only the index of addresses has: by an equation the planner
-- would read a whole campaign that the statistics do not know yet, by whatever index of it, for each thousand addresses.
create or replace function aim.contacts_by_email(tenant uuid, campaign uuid, keys text[]) returns table (key text, id uuid)
  language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp
  set enable_sort = off set enable_bitmapscan = off as $body$
begin
  perform aim.search_guard(tenant);
  return query select k.key, c.id from unnest(keys) k (key)
    cross join lateral (
      select contacts.id, contacts.user_id from contacts
      where campaign_id = campaign and email is not null and lower(email) >= k.key and lower(email) <= k.key
      order by lower(email) limit 1
    ) c
    where c.user_id = tenant;
end
$body$;

-- Down Migration

create or replace function aim.contacts_by_email(tenant uuid, campaign uuid, keys text[]) returns table (key text, id uuid)
  language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  perform aim.search_guard(tenant);
  return query select lower(c.email), c.id from contacts c
    where c.campaign_id = campaign and c.user_id = tenant and c.email is not null and lower(c.email) = any(keys);
end
$body$;
