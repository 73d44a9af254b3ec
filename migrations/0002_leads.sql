-- Up Migration

create table campaigns (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  archived boolean not null default false,
  archived_at timestamptz,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (archived = (archived_at is not null)),
  -- Lets children carry the tenant in their foreign key: a row can never hang below another tenant's campaign.
  unique (id, user_id)
);
-- Serves the list and the picker, which show active campaigns, newest first.
create index campaigns_active on campaigns (user_id, created_at, id) where not archived;
-- Serves the lists that include archived campaigns.
create index campaigns_page on campaigns (user_id, created_at, id);

create table companies (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  name text not null check (length(name) between 1 and 500),
  domain text collate "C" check (length(domain) between 1 and 255),
  -- What makes a company the same company within a campaign: its domain, else its name.
  natural_key text collate "C" not null check (length(natural_key) between 1 and 600),
  attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (campaign_id, user_id) references campaigns (id, user_id) on delete cascade,
  check (case when domain is null then natural_key like 'name:%' else natural_key = domain end),
  unique (id, campaign_id)
);
-- Serves the bulk upsert and dispatch by domain; holds the natural key.
create unique index companies_natural_key on companies (campaign_id, natural_key);
-- Serves pages of a campaign's companies and the expansion of a batch over all of them.
create index companies_campaign_page on companies (campaign_id, created_at, id);
-- Serves pages over all companies of a tenant.
create index companies_tenant_page on companies (user_id, created_at, id);

create table contacts (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid,
  full_name text not null default '' check (length(full_name) <= 500),
  email text check (length(email) between 3 and 320),
  title text check (length(title) <= 500),
  phone text check (length(phone) <= 100),
  linkedin text check (length(linkedin) <= 500),
  attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (campaign_id, user_id) references campaigns (id, user_id) on delete cascade,
  foreign key (company_id, campaign_id) references companies (id, campaign_id) on delete set null (company_id)
);
-- Serves the bulk upsert; holds the natural key.
create unique index contacts_natural_key on contacts (campaign_id, lower(email)) where email is not null;
-- Serves pages of a campaign's contacts.
create index contacts_campaign_page on contacts (campaign_id, created_at, id);
-- Serves pages of a company's contacts, and the foreign key.
create index contacts_company_page on contacts (company_id, created_at, id) where company_id is not null;
-- Serves pages over all contacts of a tenant.
create index contacts_tenant_page on contacts (user_id, created_at, id);

alter table campaigns enable row level security;
alter table companies enable row level security;
alter table contacts enable row level security;

-- Down Migration

drop table contacts;
drop table companies;
drop table campaigns;
