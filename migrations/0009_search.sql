-- Up Migration

-- Parents first, as writers take them: locks taken one by one would meet theirs and never get through.
lock table companies, contacts, company_research in access exclusive mode;

create extension if not exists unaccent;
create extension if not exists pg_trgm;
-- Lets a trigram index begin with the tenant.
create extension if not exists btree_gin;

-- Text as it is searched: lower case, one form for each character, and punctuation as blanks, so that hosts, emails and
-- hyphened names fall into their labels. Extensions stand where the operator put them (on Supabase in `extensions`),
-- and only ICU knows the lower case of all letters in a database of locale C, so both are looked up here.
do $body$
declare
  unaccented text := (select n.nspname from pg_ts_dict d join pg_namespace n on n.oid = d.dictnamespace
    where d.dictname = 'unaccent' order by n.nspname = 'public' desc limit 1);
  icu text := (select ' collate pg_catalog."und-x-icu"' from pg_collation
    where collname = 'und-x-icu' and collnamespace = 'pg_catalog'::regnamespace);
  -- ASCII first, without the double quote and the minus, which queries keep; then blanks, dashes, quotes and dots.
  marks text := '!#$%&''()*+,./:;<=>?@[\]^_`{|}~' || U&'\00A0\00A1\00A6\00A7\00AB\00B0\00B6\00B7\00BB\00BF'
    || U&'\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\200B\2028\2029\202F\205F\2060\3000\FEFF'
    || U&'\2010\2011\2012\2013\2014\2015\2044\2018\2019\201A\201B\201C\201D\201E\201F\2022\2026\2039\203A\2122'
    || U&'\3001\3002\300C\300D\30FB\060C\061B\061F';
begin
  execute format(
    'create text search configuration aim.names (copy = pg_catalog.simple)');
  execute format(
    'alter text search configuration aim.names alter mapping for asciiword, word, numword, asciihword, hword, numhword,
       hword_asciipart, hword_part, hword_numpart with %I.unaccent, pg_catalog.simple', unaccented);
  -- With `mark` in the place of each mark; 500 characters, as many as a name may have: a word is at most 2 kB then.
  -- Most texts are ASCII, where the same costs a tenth.
  execute format($make$
    create function aim.search_text(value text, mark text) returns text language sql immutable parallel safe
      return case
        when value collate "C" !~ '[^a-zA-Z0-9 ]' then lower(left(value, 500) collate "C") collate "default"
        when octet_length(value) = length(value) then
          regexp_replace(lower(left(value, 500) collate "C"), '[!#-,./:-@[-`{-~]', mark, 'g') collate "default"
        else left(translate(lower(normalize(left(value, 500), nfkc)%s), %L, repeat(mark, %s)), 500) collate "default"
      end
    $make$, icu, marks, length(marks));
  -- What typos are compared with: no accents either.
  execute format($make$
    create function aim.search_name(value text) returns text language plpgsql immutable strict parallel safe as $sql$
    begin
      return %1$I.unaccent('%1$I.unaccent'::pg_catalog.regdictionary, aim.search_text(value, ' '));
    end
    $sql$ $make$, unaccented);
end
$body$;

-- Nothing stemmed, no stop words: `weighty` counts as A, the others as B.
create function aim.search_vector(weighty text, light text, lighter text default null) returns tsvector
  language sql immutable parallel safe
  return setweight(to_tsvector('aim.names', replace(coalesce(aim.search_text(weighty, ' '), ''), '-', ' ')), 'A')
    || setweight(to_tsvector('aim.names', replace(
      coalesce(aim.search_text(light, ' '), '') || ' ' || coalesce(aim.search_text(lighter, ' '), ''), '-', ' ')), 'B');

-- A tenant's words begin with its mark, so that a word, and above all a prefix, reads from the index what the tenant
-- has of it and not what everybody has. Two tenants may share a mark: queries check the tenant of each row as well.
create function aim.search_mark(tenant uuid) returns text language sql immutable parallel safe
  return right(tenant::text, 8) || '/';

-- What the index holds of a row: its words, and its campaign as one more word.
create function aim.search_keys(tenant uuid, campaign uuid, words tsvector) returns tsvector
  language sql immutable parallel safe
  return (replace(' ' || words::text, ' ''', ' ''' || aim.search_mark(tenant))
    || ' ''' || aim.search_mark(tenant) || campaign::text || '''')::tsvector;

-- The same of a query.
create function aim.search_keys(tenant uuid, campaign uuid, query tsquery) returns tsquery
  language sql immutable parallel safe
  return ('(' || regexp_replace(query::text, '(^|[ (!])''', '\1''' || aim.search_mark(tenant), 'g') || ')'
    || coalesce(' & ''' || aim.search_mark(tenant) || campaign::text || '''', ''))::tsquery;

-- A query as people write it: words, "phrases", -without, or; the last word may be unfinished. Marks within a word make
-- it a phrase of its labels, without what a pasted address begins with. NULL when it names nothing to look for, which only reading everything could answer.
create function aim.search_query(q text) returns tsquery language plpgsql immutable parallel safe
  set client_min_messages = error as $sql$
declare
  host text := regexp_replace(left(q, 256), '(^|[[:space:]"-])(?:https?://(?:www[.])?|www[.])', '\1', 'gi');
  -- Outside quotes a minus before a word leaves it out; any other is a mark.
  marked text := (
    select string_agg(
      case when n % 2 = 0 then replace(part, '-', '#') else regexp_replace(part, '(?<=[^[:space:]])-', '#', 'g') end,
      '"' order by n)
    from string_to_table(aim.search_text(host, '#'), '"') with ordinality parts (part, n));
  sought tsquery := websearch_to_tsquery('aim.names', marked);
begin
  if marked !~ '[[:space:]"#-]$' and marked !~ '(^|[[:space:]])-[^[:space:]]*$' then
    sought := regexp_replace(sought::text, '''(\)*)$', ''':*\1')::tsquery;
  end if;
  return case when querytree(sought) not in ('', 'T') then sought end;
end
$sql$;

-- Whoever is bound to a tenant searches that one; unbound, only the workers search.
create function aim.search_guard(tenant uuid) returns void language plpgsql stable as $sql$
declare
  caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
begin
  if tenant is distinct from aim.tenant() and (aim.tenant() is not null or not pg_has_role(caller, 'aim_worker', 'member')) then
    raise exception 'search is bound to another tenant' using errcode = 'insufficient_privilege';
  end if;
end
$sql$;

-- Empty until the trigger or the backfill fills it: a generated column would rewrite the table under a lock.
alter table companies add column search_vector tsvector;
alter table contacts add column search_vector tsvector;
alter table company_research add column search_vector tsvector;

create function aim.company_search_vector() returns trigger language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp as $sql$
begin
  new.search_vector := aim.search_vector(new.name, new.domain);
  return new;
end
$sql$;
create trigger search_vector before insert or update of name, domain on companies
  for each row execute function aim.company_search_vector();

create function aim.contact_search_vector() returns trigger language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp as $sql$
begin
  new.search_vector := aim.search_vector(new.full_name, new.title, new.email);
  return new;
end
$sql$;
create trigger search_vector before insert or update of full_name, title, email on contacts
  for each row execute function aim.contact_search_vector();

-- Research is found by its company.
create function aim.research_search_vector() returns trigger language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp as $sql$
begin
  new.search_vector := (select c.search_vector from companies c where c.id = new.company_id);
  return new;
end
$sql$;
create trigger search_vector before insert or update of company_id on company_research
  for each row execute function aim.research_search_vector();

-- And follows when that is renamed.
create function aim.company_renamed() returns trigger language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp as $sql$
begin
  update company_research r set search_vector = n.search_vector
  from new_rows n join old_rows o on o.id = n.id
  where (o.name, o.domain) is distinct from (n.name, n.domain) and r.company_id = n.id;
  return null;
end
$sql$;
create trigger search_renamed after update on companies referencing old table as old_rows new table as new_rows
  for each statement execute function aim.company_renamed();

-- For each entity, four functions made from one text. None of them reads more than a bounded number of rows, and only
-- the newest 1,000 matches are ranked. Terms that many of the newest rows have are found by walking newest-first, the
-- others by the index; what is common is seen in the newest 1,000 rows, because statistics know no single tenant. The
-- settings leave each statement the one plan it is meant to have, whatever the statistics say.
do $body$
declare
  trgm text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_trgm');
  wanted record;
  made text;
begin
  -- Loads the library: only then may one who is no superuser set its threshold below.
  execute format('select %I.show_trgm(%L)', trgm, 'x');
  for wanted in select * from (values
    ('companies', 'companies', 'companies', 'c.name', 'found.id', ''),
    ('contacts', 'contacts', 'contacts', 'c.full_name', 'found.id', ''),
    ('research', 'company_research', 'companies', 'c.name', 'r.id', 'join company_research r on r.company_id = found.id')
  ) as v (entity, source, named, name, id, research) loop
    foreach made in array array[
      $make$
        create function aim.walk_{entity}(
          tenant uuid, campaign uuid, gone uuid[], query tsquery, thorough boolean,
          out ids uuid[], out ranks real[], out complete boolean
        ) language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
        as $sql$
        declare
          sample constant int := 1000;
          seen int;
          hits int;
        begin
          if campaign is null then
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.search_vector from {source} c where c.user_id = tenant
              order by c.created_at desc, c.id desc limit sample) x;
          else
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.user_id, c.search_vector from {source} c where c.campaign_id = campaign
              order by c.created_at desc, c.id desc limit sample) x where x.user_id = tenant;
          end if;
          complete := seen < sample;
          -- Below 1 in 20 the index is cheaper.
          if (complete and hits = 0) or (not complete and hits * 20 < seen and not thorough) then
            return;
          end if;
          if campaign is null then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.campaign_id, c.search_vector from {source} c where c.user_id = tenant
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.campaign_id <> all (gone) limit 1000) y;
          else
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.user_id, c.search_vector from {source} c where c.campaign_id = campaign
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.user_id = tenant limit 1000) y;
          end if;
          complete := complete or cardinality(ids) = 1000;
        end
        $sql$
      $make$,
      $make$
        create function aim.match_{entity}(
          tenant uuid, campaign uuid, gone uuid[], query tsquery, keys tsquery,
          out ids uuid[], out ranks real[], out complete boolean
        ) language plpgsql stable set enable_seqscan = off set jit = off as $sql$
        begin
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, c.created_at, c.search_vector from {source} c
            where aim.search_keys(c.user_id, c.campaign_id, c.search_vector) @@ keys limit 20001
          ), newest as (
            select f.id, f.search_vector from found f
            where f.user_id = tenant and (campaign is null or f.campaign_id = campaign) and f.campaign_id <> all (gone)
            order by f.created_at desc, f.id desc limit 1000
          )
          select array_agg(n.id), array_agg(ts_rank(n.search_vector, query)), (select count(*) <= 20000 from found)
          into ids, ranks, complete from newest n;
        end
        $sql$
      $make$,
      $make$
        create function aim.similar_{entity}(
          tenant uuid, campaign uuid, gone uuid[], q text, out ids uuid[], out ranks real[]
        ) language plpgsql stable set enable_seqscan = off set enable_sort = off set jit = off
          set pg_trgm.word_similarity_threshold = 0.3 as $sql$
        declare
          typed text := aim.search_name(left(q, 256));
          seen int;
        begin
          -- Without trigrams the index would answer with everything.
          if cardinality({trgm}.show_trgm(typed)) = 0 then
            return;
          end if;
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, {trgm}.word_similarity(typed, aim.search_name({name})) as rank
            from {named} c
            where uuid_hash(c.user_id) = uuid_hash(tenant) and typed operator({trgm}.<%) aim.search_name({name})
            limit 5000
          )
          select array_agg(y.id), array_agg(y.rank), (select count(*) from found) into ids, ranks, seen from (
            select {id}, found.rank from found {research}
            where found.user_id = tenant and (campaign is null or found.campaign_id = campaign)
              and found.campaign_id <> all (gone)
            order by found.rank desc, {id} desc limit 1000) y;
          -- Those may all be of other campaigns: then the newest rows of this one.
          if campaign is not null and seen = 5000 then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select {id}, found.rank from (
                select x.id, x.user_id, {trgm}.word_similarity(typed, x.name) as rank from (
                  select c.id, c.user_id, aim.search_name({name}) as name from {named} c
                  where c.campaign_id = campaign order by c.created_at desc, c.id desc limit 5000) x
                where typed operator({trgm}.<%) x.name
              ) found {research}
              where found.user_id = tenant
              order by found.rank desc, {id} desc limit 1000) y;
          end if;
        end
        $sql$
      $make$,
      $make$
        create function aim.search_{entity}(
          tenant uuid, campaign uuid, q text, only_way text, after_rank real, after_id uuid, wanted int
        ) returns table (id uuid, rank real, way text) language plpgsql stable security definer
          set search_path = pg_catalog, public, pg_temp as $sql$
        declare
          query tsquery := aim.search_query(q);
          -- Campaigns that are being deleted are out of sight.
          gone uuid[] := array(select c.id from campaigns c where c.user_id = tenant and c.deleted_at is not null);
          walked record;
          matched record;
          ids uuid[];
          ranks real[];
        begin
          perform aim.search_guard(tenant);
          if query is null then
            raise exception 'the search names nothing to look for' using errcode = 'AIM01';
          end if;
          if campaign = any (gone) then
            return;
          end if;
          if only_way is distinct from 'similar' then
            way := 'exact';
            select * into walked from aim.walk_{entity}(tenant, campaign, gone, query, false);
            ids := walked.ids;
            ranks := walked.ranks;
            if not walked.complete then
              select * into matched
              from aim.match_{entity}(tenant, campaign, gone, query, aim.search_keys(tenant, campaign, query));
              if matched.complete then
                ids := matched.ids;
                ranks := matched.ranks;
              else
                -- Too many to look at all, too few among the newest: those, and what else was seen.
                select * into walked from aim.walk_{entity}(tenant, campaign, gone, query, true);
                select array_agg(u.i), array_agg(u.r) into ids, ranks from (
                  select * from unnest(walked.ids, walked.ranks) w (i, r)
                  union all
                  select * from unnest(matched.ids, matched.ranks) m (i, r)
                  where m.i not in (select unnest(walked.ids))
                  limit 1000) u;
              end if;
            end if;
          end if;
          -- Whoever quotes or leaves out wants just that.
          if ids is null and only_way is distinct from 'exact' and q !~ '"' and query::text !~ '!' then
            way := 'similar';
            select s.ids, s.ranks into ids, ranks from aim.similar_{entity}(tenant, campaign, gone, q) s;
          end if;
          return query select u.i, u.r, way from unnest(ids, ranks) u (i, r)
            where after_id is null or (u.r, u.i) < (after_rank, after_id)
            order by u.r desc, u.i desc limit wanted;
        end
        $sql$
      $make$
    ] loop
      made := replace(replace(replace(made, '{entity}', wanted.entity), '{source}', wanted.source), '{named}', wanted.named);
      made := replace(replace(replace(made, '{name}', wanted.name), '{id}', wanted.id), '{research}', wanted.research);
      execute replace(made, '{trgm}', quote_ident(trgm));
    end loop;
  end loop;
end
$body$;

-- Rows are read and research is renamed as aim_definer; writers need what indexes are made of.
grant select on campaigns, companies, contacts, company_research to aim_definer;
grant update (search_vector) on company_research to aim_definer;
do $body$
declare
  made regprocedure;
  place regnamespace;
begin
  for place in select distinct extnamespace from pg_extension where extname in ('unaccent', 'pg_trgm') loop
    if place <> 'public'::regnamespace then
      execute format('grant usage on schema %s to aim_api, aim_worker, aim_definer', place);
    end if;
  end loop;
  for made in
    select oid from pg_proc where pronamespace = 'aim'::regnamespace
      and proname ~ '^(search|walk|match|similar)_|^(company|contact|research)_search_vector$|^company_renamed$'
  loop
    execute format('revoke all on function %s from public', made);
    execute format('grant execute on function %s to aim_definer', made);
    if made::text ~ '^aim.search_(text|name|mark|keys|vector|query)\(' then
      execute format('grant execute on function %s to aim_api, aim_worker', made);
      -- Supabase's own server role writes as well, and needs to find what the name's index is made of.
      if to_regrole('service_role') is not null then
        execute format('grant execute on function %s to service_role', made);
        grant usage on schema aim to service_role;
      end if;
    elsif made::text ~ '^aim.search_(companies|contacts|research)\(' then
      execute format('grant execute on function %s to aim_api, aim_worker', made);
      execute format('alter function %s owner to aim_definer', made);
    elsif made::text ~ 'vector|renamed' then
      execute format('alter function %s owner to aim_definer', made);
    end if;
  end loop;
end
$body$;

-- Down Migration

lock table companies, contacts, company_research in access exclusive mode;
do $body$
begin
  if to_regrole('service_role') is not null then
    revoke usage on schema aim from service_role;
  end if;
end
$body$;
drop trigger search_renamed on companies;
drop trigger search_vector on company_research;
drop trigger search_vector on contacts;
drop trigger search_vector on companies;
alter table company_research drop column search_vector;
alter table contacts drop column search_vector;
alter table companies drop column search_vector;
do $body$
declare
  made regprocedure;
begin
  for made in
    select oid from pg_proc where pronamespace = 'aim'::regnamespace
      and proname ~ '^(walk|match|similar|search)_(companies|contacts|research)$|_search_vector$|^company_renamed$'
  loop
    execute format('drop function %s', made);
  end loop;
end
$body$;
drop function aim.search_guard(uuid);
drop function aim.search_query(text);
drop function aim.search_keys(uuid, uuid, tsquery);
drop function aim.search_keys(uuid, uuid, tsvector);
drop function aim.search_mark(uuid);
drop function aim.search_vector(text, text, text);
drop function aim.search_name(text);
drop function aim.search_text(text, text);
drop text search configuration aim.names;
-- The extensions stay: others may have come to use them.
