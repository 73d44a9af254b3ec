-- Up Migration

-- Whether the rows of a tenant's campaign can be listed: all of them are there, as far as the caller's snapshot goes. A
-- list that an archive or a restore is taking rows from, or bringing them back to, would pass on a part as if it were all.
create function aim.campaign_is_whole(tenant uuid, campaign uuid) returns boolean
language plpgsql stable parallel safe
as $$
declare
  is_archived boolean;
begin
  select c.archived into is_archived from public.campaigns c
  where c.id = campaign and c.user_id = tenant and c.deleted_at is null;
  if is_archived then
    raise exception 'campaign % is archived, or on its way there or back; read its archive (/v1/archives), or restore it and wait until that is done', campaign
      using errcode = 'AIM02';
  end if;
  return is_archived is not null;
end
$$;
revoke all on function aim.campaign_is_whole(uuid, uuid) from public;
grant execute on function aim.campaign_is_whole(uuid, uuid) to aim_api, aim_worker;

-- Down Migration

drop function aim.campaign_is_whole(uuid, uuid);
