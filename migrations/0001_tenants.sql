-- Up Migration

-- Supabase brings auth.users and auth.uid(); elsewhere these two are made, and marked as ours for the way back.
create schema if not exists auth;

-- A UUIDv7 of the same shape as Postgres 18's: 48 bits of ms, then version, 12 bits of sub-ms order, variant, random.
do $body$
begin
  if to_regprocedure('pg_catalog.uuidv7()') is null then
    execute $make$
      create function public.uuidv7() returns uuid language sql volatile parallel safe set search_path = pg_catalog as $sql$
        select encode(
          set_byte(
            set_byte(
              overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((us / 1000)::bigint) from 3) from 1 for 6),
              6, (112 | (((us % 1000) * 4096 / 1000)::int >> 8))),
            7, (((us % 1000) * 4096 / 1000)::int & 255)),
          'hex')::uuid
        from (select floor(extract(epoch from clock_timestamp()) * 1000000)::bigint as us) now
      $sql$
    $make$;
  end if;

  if to_regclass('auth.users') is null then
    create table auth.users (
      id uuid primary key default uuidv7(),
      email text,
      created_at timestamptz not null default now()
    );
    comment on table auth.users is 'aim for leads: the tenants, where Supabase does not bring its own table';
  end if;

  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable set search_path = pg_catalog as
      $sql$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $sql$;
    comment on function auth.uid() is 'aim for leads: the tenant of this request, where Supabase does not bring its own function';
  end if;
end
$body$;

-- The key itself is shown once and never stored.
create table api_keys (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  prefix text not null check (length(prefix) between 4 and 16),
  hash bytea not null check (length(hash) = 32),
  scopes text[] not null check (scopes <@ array['read', 'write', 'research', 'results:write'] and cardinality(scopes) > 0),
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now()
);
-- Serves authentication: one look-up a request.
create unique index api_keys_hash on api_keys (hash);
-- Serves the deletion of a tenant.
create index api_keys_user on api_keys (user_id);

-- One row for each Idempotency-Key of a tenant; written in the transaction of the work it stands for.
create table idempotency_keys (
  user_id uuid not null references auth.users (id) on delete cascade,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null,
  status int,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (user_id, key),
  check ((status is null) = (answer is null))
);
-- Serves the sweep, which forgets keys after a day.
create index idempotency_keys_created on idempotency_keys (created_at);

-- Nothing but the owner gets in until policies for the roles exist (on Supabase, `public` is exposed over HTTP).
alter table api_keys enable row level security;
alter table idempotency_keys enable row level security;

-- Down Migration

drop table idempotency_keys;
drop table api_keys;
do $body$
begin
  if obj_description(to_regprocedure('auth.uid()'), 'pg_proc') like 'aim for leads:%' then
    drop function auth.uid();
  end if;
  if obj_description(to_regclass('auth.users'), 'pg_class') like 'aim for leads:%' then
    drop table auth.users;
    drop schema if exists auth;
  end if;
  if to_regprocedure('public.uuidv7()') is not null then
    drop function public.uuidv7();
  end if;
end
$body$;
