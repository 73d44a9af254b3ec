import type { APIGatewayProxyResult, Context } from 'aws-lambda';
import { handle, type LambdaEvent } from 'hono/aws-lambda';
import { buildApp } from './api/app.ts';
import { deps, once } from './deps.ts';
import { lambdaInvoker } from './invoke.ts';

const answer = once(() =>
  handle(buildApp({ ...deps(), invokeArchive: lambdaInvoker(deps().archiveFunction) }), {
    // All that we answer is text: base64, which NDJSON would be sent as, takes a third more.
    isContentTypeBinary: () => false,
  }),
);

/** Function URL → the HTTP API. */
export function handler(event: LambdaEvent, context: Context): Promise<APIGatewayProxyResult> {
  return answer()(withoutIdleBody(event), context as never) as Promise<APIGatewayProxyResult>;
}

/** A body says nothing in a GET, and the framework would answer in its own way to a request that has both. */
function withoutIdleBody(event: LambdaEvent): LambdaEvent {
  const { http } = event.requestContext as { http?: { method?: string } };
  return http?.method === 'GET' || http?.method === 'HEAD' ? { ...event, body: null } : event;
}
