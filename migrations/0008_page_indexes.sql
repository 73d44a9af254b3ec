-- No Transaction
-- Up Migration

-- Serves pages of the contacts of a campaign by time of change.
create index concurrently if not exists contacts_campaign_updated on contacts (campaign_id, updated_at, id);
-- Serves pages of the contacts of a campaign by name.
create index concurrently if not exists contacts_campaign_name on contacts (campaign_id, full_name collate "C", id);
-- Serves pages of the contacts of a campaign by email.
create index concurrently if not exists contacts_campaign_email on contacts (campaign_id, (coalesce(lower(email), '')) collate "C", id);
-- Serves pages of the contacts of a tenant by time of change.
create index concurrently if not exists contacts_tenant_updated on contacts (user_id, updated_at, id);
-- Serves pages of the contacts of a tenant by name.
create index concurrently if not exists contacts_tenant_name on contacts (user_id, full_name collate "C", id);
-- Serves pages of the contacts of a tenant by email.
create index concurrently if not exists contacts_tenant_email on contacts (user_id, (coalesce(lower(email), '')) collate "C", id);
-- Serves pages of the contacts of a company by time of change.
create index concurrently if not exists contacts_company_updated on contacts (company_id, updated_at, id) where company_id is not null;
-- Serves pages of the contacts of a company by name.
create index concurrently if not exists contacts_company_name on contacts (company_id, full_name collate "C", id) where company_id is not null;
-- Serves pages of the contacts of a company by email.
create index concurrently if not exists contacts_company_email on contacts (company_id, (coalesce(lower(email), '')) collate "C", id) where company_id is not null;
-- Serves pages of the companies of a campaign by time of change.
create index concurrently if not exists companies_campaign_updated on companies (campaign_id, updated_at, id);
-- Serves pages of the companies of a campaign by name.
create index concurrently if not exists companies_campaign_name on companies (campaign_id, name collate "C", id);
-- Serves pages of the companies of a tenant by time of change.
create index concurrently if not exists companies_tenant_updated on companies (user_id, updated_at, id);
-- Serves pages of the companies of a tenant by name.
create index concurrently if not exists companies_tenant_name on companies (user_id, name collate "C", id);
-- Serves pages of a tenant's active campaigns by time of change.
create index concurrently if not exists campaigns_active_updated on campaigns (user_id, updated_at, id) where not archived and deleted_at is null;
-- Serves pages of a tenant's active campaigns by name.
create index concurrently if not exists campaigns_active_name on campaigns (user_id, name collate "C", id) where not archived and deleted_at is null;
-- Serves pages of a tenant's campaigns, archived ones too by time of change.
create index concurrently if not exists campaigns_all_updated on campaigns (user_id, updated_at, id) where deleted_at is null;
-- Serves pages of a tenant's campaigns, archived ones too by name.
create index concurrently if not exists campaigns_all_name on campaigns (user_id, name collate "C", id) where deleted_at is null;
-- Serves pages of the research of a campaign by time of change.
create index concurrently if not exists company_research_campaign_updated on company_research (campaign_id, updated_at, id);
-- Serves pages of the research of a tenant by time of change.
create index concurrently if not exists company_research_tenant_updated on company_research (user_id, updated_at, id);
-- Serves pages of the research of a company by time of change.
create index concurrently if not exists company_research_company_updated on company_research (company_id, updated_at, id);
-- Serves pages of the prospects of a campaign by time of change.
create index concurrently if not exists prospect_research_campaign_updated on prospect_research (campaign_id, updated_at, id);
-- Serves pages of the prospects of a tenant by time of change.
create index concurrently if not exists prospect_research_tenant_updated on prospect_research (user_id, updated_at, id);
-- Serves pages of the prospects of a research by time of change.
create index concurrently if not exists prospect_research_research_updated on prospect_research (company_research_id, updated_at, id);

-- Down Migration

drop index concurrently if exists prospect_research_research_updated;
drop index concurrently if exists prospect_research_tenant_updated;
drop index concurrently if exists prospect_research_campaign_updated;
drop index concurrently if exists company_research_company_updated;
drop index concurrently if exists company_research_tenant_updated;
drop index concurrently if exists company_research_campaign_updated;
drop index concurrently if exists campaigns_all_name;
drop index concurrently if exists campaigns_all_updated;
drop index concurrently if exists campaigns_active_name;
drop index concurrently if exists campaigns_active_updated;
drop index concurrently if exists companies_tenant_name;
drop index concurrently if exists companies_tenant_updated;
drop index concurrently if exists companies_campaign_name;
drop index concurrently if exists companies_campaign_updated;
drop index concurrently if exists contacts_company_email;
drop index concurrently if exists contacts_company_name;
drop index concurrently if exists contacts_company_updated;
drop index concurrently if exists contacts_tenant_email;
drop index concurrently if exists contacts_tenant_name;
drop index concurrently if exists contacts_tenant_updated;
drop index concurrently if exists contacts_campaign_email;
drop index concurrently if exists contacts_campaign_name;
drop index concurrently if exists contacts_campaign_updated;
