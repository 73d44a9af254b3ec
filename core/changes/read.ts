import type { Change, ChangePage, ChangeQuery } from '../contract/changes.ts';
import type { Db } from '../db/connect.ts';
import { utc } from '../db/sorts.ts';
import { sql, walking } from '../db/sql.ts';
import { AimError } from '../errors.ts';
import { decodePosition, encodePosition, type FeedPosition } from './cursor.ts';

/** A filter leaves out what it does not want; an answer looks at this many changes and then hands on its place. */
const changesPerRead = 1_000;

export class CursorExpired extends AimError {
  constructor() {
    super(
      'this position of the feed is older than what is kept, or of a database that was restored; read your lists again with follow=true and go on from their changesAfter',
      { code: 'cursor_expired', status: 410 },
    );
  }
}

interface Row {
  epoch: string;
  xmin: string;
  floor: string;
  /** Changes looked at; more than there are rows when the limit of ids cut them short. */
  examined: number;
  /** null in the one row of an answer without changes. */
  xid: string | null;
  seq: number;
  entity: Change['entity'];
  op: Change['op'];
  campaignId: string | null;
  at: string;
  /** null for a change that the filter does not want. */
  ids: string[] | null;
}

/**
 * Reads the feed of a tenant from a position on, oldest first, in one statement and so in one snapshot. Only
 * transactions before every one that still runs are shown: a slow one delays the feed and never makes a gap.
 * @param query `limit` counts ids; a change with more is continued where the answer before ended
 * @returns `isCut` when it ended before all that there is, and more may be read at once
 * @throws InvalidCursor, and CursorExpired where something was pruned or the cluster is another
 */
export async function readChanges(
  { db }: { db: Db },
  tenantId: string,
  query: Pick<ChangeQuery, 'limit' | 'entity' | 'campaignId'> & { after: string },
): Promise<ChangePage & { isCut: boolean }> {
  const from = decodePosition(query.after);
  const rows = await select(db, tenantId, from, query);
  const [here] = rows;
  if (!here) throw new Error('the database did not say where it is');
  const isOld = BigInt(from.xid) <= BigInt(here.floor);
  if (from.epoch !== here.epoch || isOld || BigInt(from.xid) > BigInt(here.xmin)) throw new CursorExpired();

  const data: Change[] = [];
  let room = query.limit;
  for (const row of rows) {
    if (row.xid === null) break;
    const start = row.xid === from.xid && row.seq === from.seq ? from.offset : 0;
    const ids = row.ids?.slice(start, start + room) ?? [];
    if (ids.length > 0) {
      const { entity, op, campaignId, at } = row;
      data.push({
        id: `${row.xid}-${row.seq}${start > 0 ? `.${start}` : ''}`,
        entity,
        op,
        campaignId,
        ids,
        at,
      });
      room -= ids.length;
    }
    const read = start + ids.length;
    if (row.ids && read < row.ids.length) {
      const next = encodePosition({ epoch: here.epoch, xid: row.xid, seq: row.seq, offset: read });
      return { data, next, isCut: true };
    }
  }
  // Past the last change; where there are no more, up to the horizon, so that no quiet tenant's position grows old.
  const last = rows.at(-1);
  const isCut = rows.length < here.examined || here.examined === changesPerRead;
  const place: FeedPosition =
    last?.xid && isCut
      ? { epoch: here.epoch, xid: last.xid, seq: last.seq + 1, offset: 0 }
      : { epoch: here.epoch, xid: here.xmin, seq: 0, offset: 0 };
  return { data, next: encodePosition(place), isCut };
}

/**
 * How many ids a change has, by their size, for to open the ids of a thousand changes is to read a million: behind a
 * header, 16 bytes each, never compressed. Those of a partition from before 0061 may be: they count as fewer than they
 * are, and more changes come than there is room for, which are cut as ever.
 */
const size = sql.fragment`coalesce((pg_column_size(ids) - 20) / 16, 0)`;

function select(
  db: Db,
  tenantId: string,
  from: FeedPosition,
  { limit, entity, campaignId }: Pick<ChangeQuery, 'limit' | 'entity' | 'campaignId'>,
): Promise<Row[]> {
  return db.query<Row>(
    walking(sql('changes.read')`
    with examined as (
      select xid, seq, at, entity, op, campaign_id,
        case when (${entity ?? null}::text is null or entity = ${entity ?? null})
          and (${campaignId ?? null}::uuid is null or campaign_id = ${campaignId ?? null}) then ids end as ids
      from changes
      where user_id = ${tenantId} and (xid, seq) >= (${from.xid}::xid8, ${from.seq}::bigint)
        and xid < pg_snapshot_xmin(pg_current_snapshot())
      order by xid, seq limit ${changesPerRead}
    ), counted as (
      select examined.*, count(*) over () as examined, sum(${size}) over (order by xid, seq) - ${size} as ids_before
      from examined
    )
    select aim.cluster_epoch() as epoch, pg_snapshot_xmin(pg_current_snapshot())::text as xmin, floor.xid::text as floor,
      coalesce(c.examined, 0) as examined, c.xid::text as xid, c.seq, c.entity, c.op, c.campaign_id as "campaignId",
      ${utc(sql.fragment`c.at`)} as at, c.ids
    from change_floor floor
    left join counted c on c.ids_before < ${limit + from.offset}::int
    order by c.xid, c.seq`),
  );
}
