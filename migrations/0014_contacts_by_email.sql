-- Up Migration

-- The contacts of a campaign with these addresses, in lower case. Under a policy `lower` would not reach the index, for
-- it is not leakproof, and every look-up would read the campaign; so this binds the tenant itself, like a search.
create function aim.contacts_by_email(tenant uuid, campaign uuid, keys text[]) returns table (key text, id uuid)
  language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  perform aim.search_guard(tenant);
  return query select lower(c.email), c.id from contacts c
    where c.campaign_id = campaign and c.user_id = tenant and c.email is not null and lower(c.email) = any(keys);
end
$body$;
alter function aim.contacts_by_email(uuid, uuid, text[]) owner to aim_definer;
revoke all on function aim.contacts_by_email(uuid, uuid, text[]) from public;
grant execute on function aim.contacts_by_email(uuid, uuid, text[]) to aim_api, aim_worker;

-- Down Migration

drop function aim.contacts_by_email(uuid, uuid, text[]);
