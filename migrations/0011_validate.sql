-- No Transaction
-- Up Migration

-- A validation of its own reads the table while others write to it.
alter table research_batches validate constraint research_batches_resume_url;
alter table research_batches validate constraint research_batches_resume_state;
alter table research_batches validate constraint research_batches_resume;
alter table research_jobs validate constraint research_jobs_leader;

-- Serves the foreign key of prospects, which carries the campaign, and with it the tenant.
create unique index concurrently if not exists company_research_of_campaign on company_research (id, campaign_id);
alter table prospect_research drop constraint if exists prospect_research_of_campaign;
alter table prospect_research add constraint prospect_research_of_campaign
  foreign key (company_research_id, campaign_id) references company_research (id, campaign_id) on delete cascade not valid;
alter table prospect_research validate constraint prospect_research_of_campaign;
alter table prospect_research drop constraint if exists prospect_research_company_research_id_fkey;

-- Down Migration

-- A validation is not taken back: a valid constraint only says more than one that is not.
alter table prospect_research drop constraint if exists prospect_research_company_research_id_fkey;
alter table prospect_research add constraint prospect_research_company_research_id_fkey
  foreign key (company_research_id) references company_research (id) on delete cascade not valid;
alter table prospect_research validate constraint prospect_research_company_research_id_fkey;
alter table prospect_research drop constraint if exists prospect_research_of_campaign;
drop index concurrently if exists company_research_of_campaign;
