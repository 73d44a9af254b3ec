import type { OpenAPIHono } from '@hono/zod-openapi';
import { CompanyRow } from '../../core/contract/companies.ts';
import { ContactRow } from '../../core/contract/contacts.ts';
import type { ApiEnv } from './context.ts';

/** @returns a function that gives the OpenAPI 3.1 document of the app, made at its first call */
export function describe(app: OpenAPIHono<ApiEnv>): () => object {
  let document: object | undefined;
  return () => {
    document ??= make(app);
    return document;
  };
}

function make(app: OpenAPIHono<ApiEnv>): object {
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key: `Authorization: Bearer afl_…`.',
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'signature', {
    type: 'apiKey',
    in: 'header',
    name: 'webhook-signature',
    description:
      "Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature) with the provider's secret.",
  });
  // Bulk rows are parsed one by one, so no route names their schemas.
  app.openAPIRegistry.register('CompanyRow', CompanyRow);
  app.openAPIRegistry.register('ContactRow', ContactRow);
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Aim for Leads',
      version: '1',
      description:
        'Campaigns of companies and contacts, and their research. Errors are problem+json (RFC 9457).',
    },
  });
}
