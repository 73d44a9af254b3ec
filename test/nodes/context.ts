import {
  type IDataObject,
  type IExecuteFunctions,
  type IHttpRequestOptions,
  type INode,
  type INodeExecutionData,
  type IWebhookFunctions,
  NodeApiError,
} from 'n8n-workflow';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';

/** Where the API is, and a key for it. */
type At = { url: string; key: string };

/** As n8n makes it: what comes after the ? proves that it did. */
export const resumeUrl = 'https://n8n.example/webhook-waiting/17?signature=0f%2Fe+1';

export interface Given {
  /** Parameters of every item; a function gets the item's index. */
  parameters: Record<string, unknown | ((itemIndex: number) => unknown)>;
  items?: number;
  continueOnFail?: boolean;
  executionId?: string;
  runIndex?: number;
  contexts?: Contexts;
  /** Called by an AI agent of this version. n8n says so up to 2; from 3 on, the type that it makes for tools tells. */
  tool?: 2 | 3;
}

/** What nodes keep for themselves in the data of an execution, by their names; it outlasts a sleep. */
export type Contexts = Record<string, IDataObject>;

const node: INode = {
  id: 'node-1',
  name: 'Aim for "{{ Leads }}"',
  type: 'n8n-nodes-aim-for-leads.aimForLeads',
  typeVersion: 1,
  position: [0, 0],
  parameters: {},
};

/** The part of n8n that the node uses, with its HTTP helper's ways: real requests, errors wrapped as n8n wraps them. */
export function context(api: At, given: Given) {
  const { parameters, items = 1, executionId = '17', runIndex = 0 } = given;
  const hints: string[] = [];
  const sleeps: Date[] = [];
  const contexts = structuredClone(given.contexts ?? {});
  const functions = {
    getNode: () => (given.tool ? { ...node, type: `${node.type}Tool` } : node),
    getWorkflow: () => ({ id: 'workflow-1', active: false }),
    getInstanceId: () => 'instance-1',
    getExecutionId: () => executionId,
    getExecutionCancelSignal: () => undefined,
    getTimezone: () => 'Europe/Berlin',
    getInputData: (): INodeExecutionData[] => Array.from({ length: items }, () => ({ json: {} })),
    continueOnFail: () => given.continueOnFail ?? false,
    evaluateExpression: (expression: string) =>
      ({ '{{ $runIndex }}': runIndex, '{{ $execution.resumeUrl }}': resumeUrl })[expression],
    isToolExecution: () => given.tool === 2,
    getContext: () => {
      contexts[node.name] ??= {};
      return contexts[node.name];
    },
    putExecutionToWait: async (until: Date) => {
      sleeps.push(until);
    },
    addExecutionHints: (...added: { message: string }[]) =>
      hints.push(...added.map(({ message }) => message)),
    getCredentials: async () => ({ baseUrl: `${api.url}/`, apiKey: api.key }),
    getNodeParameter: (name: string, itemIndex: number, fallback?: unknown) => {
      const value = name.split('.').reduce<unknown>((at, key) => (at as IDataObject)?.[key], parameters);
      if (value === undefined) return fallback;
      return typeof value === 'function' ? value(itemIndex) : value;
    },
    helpers: {
      prepareBinaryData: async (bytes: Buffer, fileName?: string, mimeType?: string) => ({
        data: bytes.toString('base64'),
        fileName,
        mimeType,
      }),
      httpRequestWithAuthentication: async (_type: string, options: IHttpRequestOptions) => {
        try {
          return await send(api.key, options);
        } catch (cause) {
          // n8n's client reports a broken connection by the system's code, wrapped once.
          throw new NodeApiError(
            node,
            Object.assign(new Error('socket hang up', { cause }), { code: 'ECONNRESET' }) as never,
          );
        }
      },
    },
  };
  return { functions: functions as unknown as IExecuteFunctions, hints, sleeps, contexts };
}

/** n8n when a sleeping execution is asked: there is no getContext here, only expressions. */
export function waking(body: unknown, contexts: Contexts): IWebhookFunctions {
  const functions = {
    getNode: () => node,
    getBodyData: () => body,
    evaluateExpression: (expression: string) => {
      const $ = (name: string) => ({ context: contexts[name] ?? {} });
      return new Function('$', `return ${expression.split('}}')[0]?.slice(2)}`)($);
    },
  };
  return functions as unknown as IWebhookFunctions;
}

/** Runs the node once. @returns its output items */
export async function runNode(api: At, given: Given): Promise<INodeExecutionData[]> {
  const [output] = await new AimForLeads().execute.call(context(api, given).functions);
  return output ?? [];
}

async function send(key: string, options: IHttpRequestOptions) {
  const url = new URL(`${options.baseURL}${options.url}`);
  for (const [name, value] of Object.entries(options.qs ?? {})) url.searchParams.set(name, String(value));
  // An object that is empty n8n does not send, nor its type.
  const isLeftOut =
    typeof options.body === 'object' && options.body !== null && Object.keys(options.body).length === 0;
  const body = isLeftOut ? undefined : options.body;
  const response = await fetch(url, {
    method: options.method ?? 'GET',
    redirect: options.disableFollowRedirect ? 'manual' : 'follow',
    headers: {
      ...(options.headers as Record<string, string>),
      authorization: `Bearer ${key}`,
      ...(typeof body === 'object' && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const answer = { statusCode: response.status, headers: Object.fromEntries(response.headers) };
  if (options.encoding === 'arraybuffer')
    return { ...answer, body: Buffer.from(await response.arrayBuffer()) };
  return { ...answer, body: parsed(await response.text()) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
