-- Up Migration

-- How a chunk keeps its rows. `columns` is an array of [name, type] in the order of the values, `rows` an array with an
-- array of values for each row, in the order in which they were moved:
--   columns: [["id", "uuid"], ["full_name", "text"], ["attributes", "jsonb"], ["created_at", "timestamp with time zone"]]
--   rows:    [["018f…", "Ada", [{"a": 1.50}], "2026-01-01T00:00:00.000001+00:00"], …]
-- A value is what to_jsonb makes of it, times in UTC; a json or jsonb value is wrapped in an array, so that a JSON null
-- and no value at all differ; a value of any other type that JSON does not have (arrays, ranges) is its text.
-- Not kept, for they are the same for all rows or follow from others: user_id, campaign_id (the archive's id),
-- search_vector, generated columns. sha256 = aim.chunk_sha256(columns, rows). Names of tables are those of the tables.
-- Whoever rewrites a chunk (an erasure) sets rows, row_count and sha256 together, takes the rows off `totals`, and
-- renews archived_campaigns.checksum = aim.archive_checksum(id); a chunk without rows is deleted.
-- Arrays without names take half the time of objects, and less room.
alter table archive_chunks add column columns jsonb not null default '[]';
-- What is done and how far it is: see core/archive/progress.ts.
alter table archived_campaigns add column progress jsonb not null default '{}';

create function aim.chunk_sha256(columns jsonb, rows jsonb) returns bytea
  language sql stable parallel safe set search_path = pg_catalog as
  $sql$ select sha256(convert_to(columns::text || rows::text, 'UTF8')) $sql$;

-- Over the hashes of all chunks, by table and number; of no chunk, the hash of nothing.
create function aim.archive_checksum(archive uuid) returns bytea
  language sql stable set search_path = pg_catalog, public, pg_temp as $sql$
    select sha256(convert_to(coalesce(string_agg(
      format('%s %s %s %s', table_name, number, row_count, encode(sha256, 'hex')), E'\n'
      order by table_name collate "C", number), ''), 'UTF8'))
    from archive_chunks where archive_id = archive
  $sql$;

-- The rows of a chunk as objects, in their order, with the tenant and the campaign they belong to. With the caller's
-- rights. A JSON null shows as no value does.
create function aim.archived_rows(archive uuid, relation text, chunk int) returns setof jsonb
  language sql stable rows 1000 set search_path = pg_catalog, public, pg_temp as $sql$
    select jsonb_build_object('user_id', k.user_id)
      || case when relation in ('research_attempts', 'late_results') then '{}'
        else jsonb_build_object('campaign_id', k.archive_id) end
      || coalesce((
        -- Not jsonb_object_agg, which is quadratic in the strings of a large value.
        select json_object_agg(c.value ->> 0, case when c.value ->> 1 in ('json', 'jsonb')
          then r.value -> (c.place::int - 1) -> 0 else r.value -> (c.place::int - 1) end)::jsonb
        from jsonb_array_elements(k.columns) with ordinality c (value, place)), '{}')
    from archive_chunks k
    cross join lateral jsonb_array_elements(k.rows) with ordinality r (value, place)
    where k.archive_id = archive and k.table_name = relation and k.number = chunk
    order by r.place
  $sql$;

-- The name of the last migration, which an archive keeps.
create function aim.schema_version() returns text
  language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  return (select name from aim_migrations order by id desc limit 1);
end
$body$;
alter function aim.schema_version() owner to aim_definer;
grant select on aim_migrations to aim_definer;
grant select on archive_chunks to aim_definer;

revoke all on function aim.chunk_sha256(jsonb, jsonb), aim.archive_checksum(uuid), aim.archived_rows(uuid, text, int),
  aim.schema_version() from public;
grant execute on function aim.chunk_sha256(jsonb, jsonb), aim.archive_checksum(uuid), aim.archived_rows(uuid, text, int)
  to aim_api, aim_worker, aim_definer;
grant execute on function aim.schema_version() to aim_api, aim_worker;

-- A tenant asks for an archive, and for one back; only the workers move rows.
grant insert (id, user_id, name, campaign, state, schema_version, progress) on archived_campaigns to aim_api;
grant update (state, progress, updated_at) on archived_campaigns to aim_api;

-- Down Migration

revoke update (state, progress, updated_at) on archived_campaigns from aim_api;
revoke insert (id, user_id, name, campaign, state, schema_version, progress) on archived_campaigns from aim_api;
revoke select on archive_chunks from aim_definer;
revoke select on aim_migrations from aim_definer;
drop function aim.schema_version();
drop function aim.archived_rows(uuid, text, int);
drop function aim.archive_checksum(uuid);
drop function aim.chunk_sha256(jsonb, jsonb);
alter table archived_campaigns drop column progress;
alter table archive_chunks drop column columns;
