import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../local/stack/postgres.ts';

export interface Supabase {
  /** As the one who migrates: no superuser, may create roles, bypasses row level security, owns the database. */
  url: string;
  /** As a superuser. */
  adminUrl: string;
  stop(): Promise<void>;
}

/**
 * The oldest Postgres that the schema is for, set up as Supabase sets up a project before anybody's first migration:
 * its roles, what it grants them on whatever is made in `public`, `auth`, extensions in a schema of their own, and the
 * publication of its live updates.
 */
export async function supabaseOn15(): Promise<Supabase> {
  const home = mkdtempSync(join(tmpdir(), 'aim-test-15-'));
  const server = await startPostgres({ home, log: join(home, 'postgres.log'), version: '15' });
  const run = async (url: string, text: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  await run(
    server.url,
    `create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
     create role owner login createrole createdb bypassrls password 'owner';
     grant anon, authenticated, service_role to owner`,
  );
  await run(server.url, 'create database project owner owner');
  const admin = new URL(server.url);
  admin.pathname = '/project';
  const owner = new URL(admin);
  owner.username = 'owner';
  owner.password = 'owner';
  await run(
    admin.href,
    `create schema auth;
     create table auth.users (id uuid primary key, email text, created_at timestamptz default now());
     create function auth.uid() returns uuid language sql stable as $sql$
       select coalesce(
         nullif(current_setting('request.jwt.claim.sub', true), ''),
         nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
       )::uuid
     $sql$;
     grant usage on schema auth to anon, authenticated, service_role, owner;
     grant all on auth.users to owner;
     create schema extensions;
     grant usage on schema extensions to public;
     create extension unaccent schema extensions;
     create extension pg_trgm schema extensions;
     create extension btree_gin schema extensions;
     alter database project set search_path to "$user", public, extensions;
     grant usage on schema public to anon, authenticated, service_role;
     alter default privileges for role owner in schema public grant all on tables to anon, authenticated, service_role;
     alter default privileges for role owner in schema public grant all on functions to anon, authenticated, service_role;
     alter default privileges for role owner in schema public grant all on sequences to anon, authenticated, service_role;
     create publication supabase_realtime; alter publication supabase_realtime owner to owner`,
  );
  return {
    url: owner.href,
    adminUrl: admin.href,
    async stop() {
      await server.remove();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
