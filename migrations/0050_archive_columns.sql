-- Up Migration

-- Archivers and restores wait, as does whoever reads a chunk; chunks are written anew below.
lock table archived_campaigns, archive_chunks in access exclusive mode;

-- How a chunk keeps its rows, from here on: `rows` has for each of `columns` its values of all rows, in the order in which
-- they were moved.
--   columns: [["id", "uuid"], ["title", "text"], ["attributes", "jsonb"], ["payload", "jsonb", "wrapped"]]
--   rows:    ["018f…,018f…", ["CEO"], [{"a": 1.50}, {}], [[null], null]]
-- They are an array or, for types that have no comma in them and no `null` (uuid, times in UTC), may be one text with
-- commas between, a uuid without its hyphens; where the same value is in all rows, it is there once. The key comes first,
-- is a uuid and such a text, and so tells how many rows there are. In an array a value is what to_jsonb makes of it, times
-- in UTC; a json or jsonb value of a column that may be null is wrapped in an array of its own, so that a JSON null and no
-- value at all differ; a value of any other type that JSON does not have (arrays, ranges) is its text.
-- What is not kept, the hash, and what whoever rewrites a chunk has to renew: as before, see 0030.
-- By column and not by row: a value is copied once, what is alike lies together, and a text costs a tenth of its values.
comment on column archive_chunks.rows is
  'For each of columns its values of all rows, as an array or one text, or the one value that all of them have.';

-- How many rows a chunk has: a key and its comma are 33 characters.
create function aim.chunk_size(rows jsonb) returns int
  language sql immutable parallel safe set search_path = pg_catalog as
  $sql$ select (octet_length(rows ->> 0) + 1) / 33 $sql$;

-- A column's values of all n rows, as to_jsonb makes them of its type.
create function aim.chunk_column(given jsonb, type text, n int) returns jsonb
  language sql immutable parallel safe set search_path = pg_catalog set timezone = 'UTC' as $sql$
    select case when jsonb_array_length(k.kept) = n then k.kept else to_jsonb(array_fill(k.kept -> 0, array[n])) end
    from (
      select case when jsonb_typeof(given) <> 'string' then given
        when type = 'uuid' then to_jsonb(string_to_array(given #>> '{}', ',', 'null')::uuid[])
        when type like '%with time zone' then to_jsonb(string_to_array(given #>> '{}', ',', 'null')::timestamptz[])
        else to_jsonb(string_to_array(given #>> '{}', ',', 'null')::timestamp[]) end as kept
      offset 0
    ) k
  $sql$;

-- The same as texts, which the type reads.
create function aim.chunk_texts(given jsonb, n int) returns setof text
  language plpgsql immutable parallel safe rows 1000 set search_path = pg_catalog as $body$
begin
  if jsonb_typeof(given) = 'array' then
    if jsonb_array_length(given) = n then
      return query select jsonb_array_elements_text(given);
    else
      return query select given ->> 0 from generate_series(1, n);
    end if;
  elsif strpos(given #>> '{}', ',') = 0 then
    return query select nullif(given #>> '{}', 'null') from generate_series(1, n);
  else
    return query select string_to_table(given #>> '{}', ',', 'null');
  end if;
end
$body$;

-- The rows of a chunk, each as an array of its values, in their order.
create function aim.chunk_rows(columns jsonb, given jsonb, n int) returns setof jsonb
  language sql immutable parallel safe rows 1000 set search_path = pg_catalog as $sql$
    select to_jsonb(array_agg(v.value order by c.place))
    from jsonb_array_elements(columns) with ordinality t (value, place)
    join jsonb_array_elements(given) with ordinality c (value, place) on c.place = t.place
    cross join lateral jsonb_array_elements(aim.chunk_column(c.value, t.value ->> 1, n)) with ordinality v (value, place)
    group by v.place order by v.place
  $sql$;

-- The other way: what a chunk keeps of such rows, an array of arrays.
create function aim.chunk_of(given jsonb) returns jsonb
  language sql immutable parallel safe set search_path = pg_catalog as $sql$
    select to_jsonb(array_agg(c.kept order by c.place))
    from (
      select v.place, case when v.place = 1 then to_jsonb(string_agg(replace(v.value #>> '{}', '-', ''), ',' order by r.place))
          else to_jsonb(array_agg(v.value order by r.place)) end as kept
      from jsonb_array_elements(given) with ordinality r (value, place)
      cross join lateral jsonb_array_elements(r.value) with ordinality v (value, place)
      group by v.place
    ) c
  $sql$;

-- The rows of a chunk as objects, in their order, with the tenant and the campaign they belong to. With the caller's
-- rights. A JSON null shows as no value does.
create or replace function aim.archived_rows(archive uuid, relation text, chunk int) returns setof jsonb
  language sql stable rows 1000 set search_path = pg_catalog, public, pg_temp as $sql$
    select jsonb_build_object('user_id', k.user_id)
      || case when relation in ('research_attempts', 'late_results') then '{}'
        else jsonb_build_object('campaign_id', k.archive_id) end
      || r.row
    from archive_chunks k
    cross join lateral (
      -- Not jsonb_object_agg, which is quadratic in the strings of a large value.
      select v.place, json_object_agg(n.value ->> 0,
        case when n.value ->> 2 = 'wrapped' then v.value -> 0 else v.value end)::jsonb as row
      from jsonb_array_elements(k.columns) with ordinality n (value, place)
      join jsonb_array_elements(k.rows) with ordinality c (value, place) on c.place = n.place
      cross join lateral jsonb_array_elements(aim.chunk_column(c.value, n.value ->> 1, k.row_count)) with ordinality v (value, place)
      group by v.place
    ) r
    where k.archive_id = archive and k.table_name = relation and k.number = chunk
    order by r.place
  $sql$;

-- In the transaction that writes the chunk, so that a chunk and what finds it are there together or neither. A million
-- rows pass here: of a chunk only the columns that count are taken, and the token (aim.archive_token) is made in place.
create or replace function aim.index_chunk() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  key bytea;
  email_at int;
  domain_at int;
begin
  if new.table_name not in ('companies', 'contacts', 'prospect_research') then
    return null;
  end if;
  key := aim.archive_salt(new.user_id);
  select max(c.place) filter (where c.value ->> 0 = 'email') - 1, max(c.place) filter (where c.value ->> 0 = 'domain') - 1
  into email_at, domain_at from jsonb_array_elements(new.columns) with ordinality c (value, place);
  insert into archive_lookup (archive_id, table_name, number, user_id, hashes)
  with email as materialized (
    select lower(e.value) as email from jsonb_array_elements_text(new.rows -> email_at) e (value)
  ), word as (
    select 'e:' || email as word from email
    union all select distinct 'd:' || split_part(email, '@', 2) from email where email like '%@%'
    union all select 'd:' || lower(d.value) from jsonb_array_elements_text(new.rows -> domain_at) d (value)
  ), hashed as (
    select sha256(key || convert_to(word, 'UTF8')) as hash from word where word is not null offset 0
  )
  select new.archive_id, new.table_name, new.number, new.user_id, coalesce(array_agg(distinct
    (get_byte(hash, 0) << 24) | (get_byte(hash, 1) << 16) | (get_byte(hash, 2) << 8) | get_byte(hash, 3)), '{}')
  from hashed
  on conflict (archive_id, table_name, number) do update set hashes = excluded.hashes;
  return null;
end
$body$;

do $body$
declare
  wanted text;
begin
  foreach wanted in array array[
    'aim.chunk_size(jsonb)', 'aim.chunk_column(jsonb, text, int)', 'aim.chunk_texts(jsonb, int)',
    'aim.chunk_rows(jsonb, jsonb, int)', 'aim.chunk_of(jsonb)'
  ] loop
    execute format('revoke all on function %s from public', wanted);
    execute format('grant execute on function %s to aim_api, aim_worker, aim_definer', wanted);
  end loop;
end
$body$;

-- Chunks of before, without the URLs that resume an execution: no archived batch has one that is still due, and who
-- knows it can resume. Chunks that are damaged stay as they are, and so keep telling it. The policies bind the owner too.
alter table archived_campaigns no force row level security;
alter table archive_chunks no force row level security;
create temp table whole on commit drop as
  select id from archived_campaigns where checksum = aim.archive_checksum(id);
update archive_chunks k set columns = n.columns, rows = n.rows,
  sha256 = aim.chunk_sha256(n.columns, n.rows)
from (select * from archive_chunks where columns <> '[]' and sha256 = aim.chunk_sha256(columns, rows) offset 0) o
cross join lateral (
  -- Taking away what is behind the last changes nothing.
  select coalesce(min(c.place) filter (where c.value ->> 0 = 'resume_url') - 1, count(*))::int as url
  from jsonb_array_elements(o.columns) with ordinality c (value, place)
) left_out
cross join lateral (
  select aim.chunk_of(o.rows) - left_out.url as rows, to_jsonb(array_agg(
    case when c.value ->> 1 in ('json', 'jsonb') then c.value || '["wrapped"]' else c.value end order by c.place))
    - left_out.url as columns
  from jsonb_array_elements(o.columns) with ordinality c (value, place)
  offset 0
) n
where o.archive_id = k.archive_id and o.table_name = k.table_name and o.number = k.number;
update archived_campaigns set checksum = aim.archive_checksum(id) where id in (select id from whole);
drop table whole;
alter table archived_campaigns force row level security;
alter table archive_chunks force row level security;

-- Down Migration

lock table archived_campaigns, archive_chunks in access exclusive mode;
create or replace function aim.archived_rows(archive uuid, relation text, chunk int) returns setof jsonb
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
create or replace function aim.index_chunk() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  key bytea;
  email_at int;
  domain_at int;
begin
  if new.table_name not in ('companies', 'contacts', 'prospect_research') then
    return null;
  end if;
  key := aim.archive_salt(new.user_id);
  select max(c.place) filter (where c.value ->> 0 = 'email') - 1, max(c.place) filter (where c.value ->> 0 = 'domain') - 1
  into email_at, domain_at from jsonb_array_elements(new.columns) with ordinality c (value, place);
  insert into archive_lookup (archive_id, table_name, number, user_id, hashes)
  select new.archive_id, new.table_name, new.number, new.user_id, coalesce(array_agg(distinct
    ('x' || encode(substr(sha256(key || convert_to(said.word, 'UTF8')), 1, 4), 'hex'))::bit(32)::int), '{}')
  from (
    select distinct words.word
    from jsonb_array_elements(new.rows) r (value)
    cross join lateral (select lower(r.value ->> email_at) as email, lower(r.value ->> domain_at) as domain) found
    cross join lateral (values
      ('e:' || found.email),
      (case when found.email like '%@%' then 'd:' || split_part(found.email, '@', 2) end),
      ('d:' || found.domain)
    ) words (word)
    where words.word is not null
  ) said
  on conflict (archive_id, table_name, number) do update set hashes = excluded.hashes;
  return null;
end
$body$;
alter table archived_campaigns no force row level security;
alter table archive_chunks no force row level security;
create temp table whole on commit drop as
  select id from archived_campaigns where checksum = aim.archive_checksum(id);
update archive_chunks k set columns = n.columns, rows = n.rows,
  sha256 = aim.chunk_sha256(n.columns, n.rows)
from (select * from archive_chunks where columns <> '[]' and sha256 = aim.chunk_sha256(columns, rows) offset 0) o
cross join lateral (
  select (select to_jsonb(array_agg(c.value - 2 order by c.place)) from jsonb_array_elements(o.columns) with ordinality c (value, place))
      as columns,
    (select to_jsonb(array_agg(r.value order by r.place)) from (
      select v.place, to_jsonb(array_agg(
        case when n.value ->> 1 in ('json', 'jsonb') and n.value ->> 2 is null then jsonb_build_array(v.value) else v.value end
        order by n.place)) as value
      from jsonb_array_elements(o.columns) with ordinality n (value, place)
      join jsonb_array_elements(o.rows) with ordinality c (value, place) on c.place = n.place
      cross join lateral jsonb_array_elements(aim.chunk_column(c.value, n.value ->> 1, o.row_count)) with ordinality v (value, place)
      group by v.place
    ) r) as rows
  offset 0
) n
where o.archive_id = k.archive_id and o.table_name = k.table_name and o.number = k.number;
update archived_campaigns set checksum = aim.archive_checksum(id) where id in (select id from whole);
drop table whole;
alter table archived_campaigns force row level security;
alter table archive_chunks force row level security;
drop function aim.chunk_of(jsonb);
drop function aim.chunk_rows(jsonb, jsonb, int);
drop function aim.chunk_texts(jsonb, int);
drop function aim.chunk_column(jsonb, text, int);
drop function aim.chunk_size(jsonb);
comment on column archive_chunks.rows is null;
