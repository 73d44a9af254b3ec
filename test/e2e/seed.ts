import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Api {
  url: string;
  apiKey: string;
}

export async function call<Answer>(api: Api, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${api.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${api.apiKey}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok)
    throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** A campaign with as many companies, one contact each. */
export async function seedCampaign(
  api: Api,
  count: number,
): Promise<{ campaignId: string; domains: string[] }> {
  const { id: campaignId } = await call<{ id: string }>(api, 'POST', '/v1/campaigns', { name: 'End to end' });
  const domains = Array.from({ length: count }, (_, index) => `company-${index}.example`);
  for (let start = 0; start < count; start += 1000) {
    const part = domains.slice(start, start + 1000);
    const companies = part.map((domain) => ({ domain }));
    await call(api, 'POST', '/v1/companies/bulk', { campaignId, rows: companies });
    const contacts = part.map((domain) => ({
      companyDomain: domain,
      fullName: `Person of ${domain}`,
      email: `person@${domain}`,
    }));
    await call(api, 'POST', '/v1/contacts/bulk', { campaignId, rows: contacts });
  }
  return { campaignId, domains };
}

/** Another process's research, as small as it can be: answers every request at once. */
export async function startProvider(): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { requests } = JSON.parse(Buffer.concat(chunks).toString()) as {
      requests: { jobId: string; attemptId: string; company: { domain: string } }[];
    };
    const results = requests.map(({ jobId, attemptId, company }) => ({
      jobId,
      attemptId,
      status: 'completed',
      research: { summary: `About ${company.domain}` },
    }));
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ results }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/research`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
