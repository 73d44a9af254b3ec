/** What is imported into n8n: credentials and workflows, as n8n exports them. */
const nodeType = 'n8n-nodes-aim-for-leads.aimForLeads';
export const credentialId = 'aimForLeadsKey01';

export function credential(baseUrl: string, apiKey: string) {
  return { id: credentialId, name: 'Aim for Leads', type: 'aimForLeadsApi', data: { baseUrl, apiKey } };
}

interface Step {
  name: string;
  type?: string;
  typeVersion?: number;
  parameters: object;
  /** For the first item only. */
  once?: boolean;
}

const byHand: Step = { name: 'Start', type: 'n8n-nodes-base.manualTrigger', parameters: {} };

/** Begun by a POST to `/webhook/<path>`, which is answered at once. */
export const byWebhook = (path: string): Step => ({
  name: 'Start',
  type: 'n8n-nodes-base.webhook',
  typeVersion: 2,
  parameters: { path, httpMethod: 'POST', responseMode: 'onReceived', options: {} },
});

/** A workflow of steps one after another, begun by hand. */
export function workflow(id: string, steps: Step[], start = byHand) {
  const all = [start, ...steps];
  const nodes = all.map(({ name, type = nodeType, typeVersion = 1, parameters, once }: Step, index) => ({
    id: `${id}-${index}`,
    webhookId: `${id}-${index}`,
    name,
    type,
    typeVersion,
    position: [index * 220, 0],
    parameters,
    ...(once && { executeOnce: true }),
    ...(index > 0 && { credentials: { aimForLeadsApi: { id: credentialId, name: 'Aim for Leads' } } }),
  }));
  const connections = Object.fromEntries(
    steps.map(({ name }, index) => [all[index]?.name, { main: [[{ node: name, type: 'main', index: 0 }]] }]),
  );
  return { id, name: id, active: false, nodes, connections, settings: { executionOrder: 'v1' } };
}

export function getContacts(campaignId: string): Step {
  return {
    name: 'Get contacts',
    parameters: {
      resource: 'contact',
      operation: 'getMany',
      campaign: { __rl: true, mode: 'id', value: campaignId },
      returnAll: true,
      options: { order: 'asc' },
    },
  };
}

export function dispatchResearch(campaignId: string, provider: string, domains: string[]): Step {
  return {
    name: 'Dispatch research',
    parameters: {
      resource: 'research',
      operation: 'dispatch',
      campaign: { __rl: true, mode: 'list', value: campaignId },
      provider: { __rl: true, mode: 'list', value: provider },
      companies: 'domains',
      domains: domains.join('\n'),
      options: { priority: 3 },
    },
  };
}

/** A dispatch that puts the execution to sleep, and a report of what it went on with. */
export function dispatchAndWait(
  campaignId: string,
  provider: string,
  domains: string[],
  wokenUrl: string,
): Step[] {
  const dispatch = dispatchResearch(campaignId, provider, domains);
  return [
    { ...dispatch, parameters: { ...dispatch.parameters, wait: true, waitHours: 1 } },
    {
      name: 'Report',
      type: 'n8n-nodes-base.httpRequest',
      typeVersion: 4.2,
      parameters: {
        method: 'POST',
        url: wokenUrl,
        sendBody: true,
        specifyBody: 'json',
        jsonBody: '={{ JSON.stringify({ ...$json, items: $input.all().length }) }}',
        options: {},
      },
    },
  ];
}

/** A dispatch that waits and its report, in a loop of two rounds. */
export function dispatchAndWaitTwice(id: string, steps: Step[]) {
  const again: Step = {
    name: 'Again?',
    type: 'n8n-nodes-base.if',
    parameters: { conditions: { number: [{ value1: '={{ $runIndex }}', operation: 'smaller', value2: 1 }] } },
  };
  const flow = workflow(id, [...steps, again], byWebhook(id));
  flow.connections[again.name] = { main: [[{ node: steps[0]?.name ?? '', type: 'main', index: 0 }]] };
  return flow;
}

/** n8n's own HTTP Request node with our credential, for what the node does not have yet. */
export function listJobs(apiUrl: string): Step {
  return {
    name: 'List jobs',
    type: 'n8n-nodes-base.httpRequest',
    typeVersion: 4.2,
    parameters: {
      url: `=${apiUrl}/v1/jobs?limit=3&batchId={{ $json.batchId }}`,
      authentication: 'predefinedCredentialType',
      nodeCredentialType: 'aimForLeadsApi',
      options: {},
    },
  };
}

export function getJob(): Step {
  return {
    name: 'Get job',
    parameters: { resource: 'job', operation: 'get', jobId: '={{ $json.data[0].id }}' },
  };
}

/** Into the archive, a look into it, and back. */
export function archiveAndRestore(campaignId: string): Step[] {
  const campaign = { __rl: true, mode: 'id', value: campaignId };
  const wait = { waitUntilDone: true, waitMinutes: 2 };
  const archive = (name: string, parameters: object) => ({
    name,
    parameters: { resource: 'archive', ...parameters },
  });
  return [
    archive('Archive', { operation: 'archive', campaign, cancelOpenJobs: true, ...wait }),
    archive('Archived contacts', { operation: 'getManyContacts', archive: campaign, returnAll: true }),
    {
      ...archive('Export', { operation: 'export', archive: campaign, table: 'contacts', format: 'csv' }),
      once: true,
    },
    { ...archive('Restore', { operation: 'restore', archive: campaign, ...wait }), once: true },
  ];
}
