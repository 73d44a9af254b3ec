import { type Api, anApi, type Json } from './client.ts';

let api: Api;
let document: Json;
beforeAll(async () => {
  api = anApi({
    query: () => Promise.reject(new Error('no statement is needed')),
    transaction: () => Promise.reject(new Error('no transaction is needed')),
  });
  document = await (await api.app.request('/openapi.json')).json();
});

const operations = (): [string, Json][] =>
  Object.entries(document.paths as Record<string, Json>).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Json>).map(([method, operation]): [string, Json] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );

test('the document lists every route of the app, and only those', () => {
  const served = api.app.routes
    .filter((route) => route.method !== 'ALL' && route.path !== '/openapi.json')
    .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`);
  expect(
    operations()
      .map(([name]) => name)
      .sort(),
  ).toEqual([...new Set(served)].sort());
});

test('every route has a summary, a result schema, errors and security', () => {
  for (const [name, operation] of operations()) {
    const statuses = Object.keys(operation.responses);
    const success = statuses.filter((status) => status.startsWith('2'));
    expect([name, success.length > 0, statuses.includes('500')]).toEqual([name, true, true]);
    for (const status of success.filter((one) => one !== '204')) {
      const contents = Object.values<Json>(operation.responses[status].content);
      expect([name, contents.every((content) => content.schema !== undefined)]).toEqual([name, true]);
      expect(contents.length).toBeGreaterThan(0);
    }
    for (const status of statuses.filter((one) => !one.startsWith('2') && one !== '304')) {
      expect(operation.responses[status].content['application/problem+json'].schema).toEqual({
        $ref: '#/components/schemas/Problem',
      });
    }
    expect(operation.summary).toBeTruthy();
    expect([name, operation.security.length > 0]).toEqual([name, name !== 'GET /health']);
    if (name !== 'GET /health') expect(statuses).toContain('401');
  }
});

test('every reference in the document leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
  expect(references.length).toBeGreaterThan(20);
  for (const [, name = ''] of references) expect(document.components.schemas).toHaveProperty(name);
  expect(document.components.schemas.CompanyRow.additionalProperties).toBe(false);
  expect(document.components.schemas.CompanyBulk.properties.rows).toMatchObject({
    type: 'array',
    maxItems: 1000,
    items: { $ref: '#/components/schemas/CompanyRow' },
  });
});
