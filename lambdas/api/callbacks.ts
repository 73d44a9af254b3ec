import { createRoute, z } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import { Webhook } from 'standardwebhooks';
import { Callback, CallbackReply } from '../../core/contract/research.ts';
import { Id } from '../../core/contract/text.ts';
import { NotFound, Unauthorized } from '../../core/errors.ts';
import { applyResults, type FoundAsk, findAsk } from '../../core/research/callback.ts';
import { authorise } from './auth.ts';
import { jsonBody, rawBody } from './body.ts';
import { type ApiEnv, bindTenant } from './context.ts';
import { json, jsonRequest, router, writeProblems } from './routes.ts';

type CallbackEnv = ApiEnv & { Variables: { ask: FoundAsk } };

function refuse(): Unauthorized {
  const message =
    "sign the callback with the provider's secret (Standard Webhooks), or send a key with results:write";
  return new Unauthorized(message, 'invalid_signature');
}

function isSigned(secrets: string[], body: string, headers: Record<string, string>): boolean {
  return secrets.some((secret) => {
    try {
      new Webhook(secret).verify(body, headers, { jsonParse: false });
      return true;
    } catch {
      // Whatever is wrong with the headers, the caller is not known.
      return false;
    }
  });
}

/** Finding the ask is the only statement before a signature is verified; an unknown ask looks like a wrong signature. */
const verified = createMiddleware<CallbackEnv>(async (c, next) => {
  const askId = c.req.param('askId') ?? '';
  const { db } = c.get('unbound');
  if (c.req.header('authorization') !== undefined) {
    const caller = await authorise(c.get('unbound'), c.req.header('authorization'), 'results:write');
    const ask = Id.safeParse(askId).success ? await findAsk(db, askId) : undefined;
    if (ask?.tenantId !== caller.tenantId) throw new NotFound('ask', askId.slice(0, 100));
    c.set('caller', caller);
    c.set('ask', ask);
    bindTenant(c, ask.tenantId);
    return next();
  }
  const headers = {
    'webhook-id': c.req.header('webhook-id') ?? '',
    'webhook-timestamp': c.req.header('webhook-timestamp') ?? '',
    'webhook-signature': c.req.header('webhook-signature') ?? '',
  };
  if (Object.values(headers).includes('') || !Id.safeParse(askId).success) throw refuse();
  const ask = await findAsk(db, askId);
  if (!ask || !isSigned(ask.secrets, c.get('rawBody'), headers)) throw refuse();
  c.set('ask', ask);
  bindTenant(c, ask.tenantId);
  return next();
});

const callback = createRoute({
  method: 'post',
  path: '/v1/callbacks/{askId}',
  summary: "Take results of one ask, whole or in parts; signed with the provider's secret",
  tags: ['Callbacks'],
  security: [{ signature: [] as string[] }, { apiKey: [] as string[] }],
  middleware: [rawBody, verified, jsonBody] as const,
  request: { params: z.object({ askId: Id }), body: jsonRequest(Callback) },
  responses: { 200: json(CallbackReply, 'What was applied.'), ...writeProblems },
});

export const callbacks = router().openapi(callback, async (c) => {
  return c.json(await applyResults(c.get('deps'), c.get('ask'), c.req.valid('json').results), 200);
});
