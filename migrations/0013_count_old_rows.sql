-- No Transaction
-- Up Migration

-- Rows that came before the triggers of 0006. One statement, one snapshot: it appends what the counts lack, as a
-- repair does, so that it waits for nobody and nobody for it, and a second run appends nothing.
insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
select c.user_id, c.id, coalesce(companies.n, 0) - c.companies_count - coalesce(deltas.companies, 0),
  coalesce(contacts.n, 0) - c.contacts_count - coalesce(deltas.contacts, 0)
from campaigns c
left join (select campaign_id, count(*) as n from companies group by campaign_id) companies on companies.campaign_id = c.id
left join (select campaign_id, count(*) as n from contacts group by campaign_id) contacts on contacts.campaign_id = c.id
left join (
  select campaign_id, sum(companies) as companies, sum(contacts) as contacts from campaign_count_deltas group by campaign_id
) deltas on deltas.campaign_id = c.id
where coalesce(companies.n, 0) <> c.companies_count + coalesce(deltas.companies, 0)
  or coalesce(contacts.n, 0) <> c.contacts_count + coalesce(deltas.contacts, 0);

-- Down Migration

-- Nothing to take back: the counts are right.
