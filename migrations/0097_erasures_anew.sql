-- Up Migration

-- An erasure under way keeps its place as a number, and the tables are looked through in another order from here on: it
-- begins its pass anew, which is harmless.
update erasures set step = 0, position = null where finished_at is null;

-- Down Migration

-- The same the other way round.
update erasures set step = 0, position = null where finished_at is null;
