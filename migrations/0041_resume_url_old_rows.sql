-- No Transaction
-- Up Migration

-- Rows that came before the trigger of 0040; those on their way into an archive leave the URL behind anyway.
update research_batches set resume_url = null
where resume_url is not null and status <> 'open' and resume_state in ('done', 'failed')
  and not exists (select from campaigns c where c.id = campaign_id and c.archived);
alter table research_batches validate constraint research_batches_resume;
alter table research_batches validate constraint research_batches_resume_delivery;

-- Down Migration

-- Nothing to take back: a valid constraint only says more than one that is not, and a URL that was forgotten stays so.
