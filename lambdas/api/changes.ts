import { createRoute } from '@hono/zod-openapi';
import { position } from '../../core/changes/position.ts';
import { readChanges } from '../../core/changes/read.ts';
import { ChangePage, ChangeQuery } from '../../core/contract/changes.ts';
import { json, problem, problems, reads, router } from './routes.ts';

const firstPauseMs = 250;
const longestPauseMs = 1_000;

const feed = createRoute({
  method: 'get',
  path: '/v1/changes',
  summary: 'Follow what changes, oldest first; without `after`, where the feed stands now',
  tags: ['Changes'],
  ...reads('read'),
  request: { query: ChangeQuery },
  responses: {
    200: json(ChangePage, 'Changes, and the position to ask from next.'),
    ...problems,
    410: problem('The position is older than what is kept: read the lists again.'),
  },
});

export const changes = router().openapi(feed, async (c) => {
  const deps = c.get('deps');
  const { tenantId } = c.get('caller');
  const { after, wait, ...query } = c.req.valid('query');
  if (after === undefined) return c.json({ data: [], next: await position(deps) }, 200);

  // Each look is a short statement of its own: nothing is held while we wait, and a pooler's connection is free.
  const until = deps.clock() + wait * 1_000;
  let { isCut, ...page } = await readChanges(deps, tenantId, { ...query, after });
  for (let pauseMs = firstPauseMs; page.data.length === 0; ) {
    // Behind what the filter left out there is more to look at: that needs no pause.
    const nextMs = isCut ? 0 : pauseMs;
    if (deps.clock() + nextMs >= until || c.req.raw.signal.aborted) break;
    if (!isCut) {
      await deps.sleep(pauseMs);
      pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    }
    ({ isCut, ...page } = await readChanges(deps, tenantId, { ...query, after: page.next }));
  }
  return c.json(page, 200);
});
