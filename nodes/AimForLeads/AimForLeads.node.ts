import {
  type IExecuteFunctions,
  type INodeExecutionData,
  type INodeType,
  type INodeTypeDescription,
  type IWebhookFunctions,
  type IWebhookResponseData,
  type NodeApiError,
  NodeConnectionTypes,
  NodeOperationError,
} from 'n8n-workflow';
import { FileItem } from './actions/operation';
import { wake } from './actions/research/wait';
import { resources } from './actions/resources';
import { searchArchives } from './pickers/archive';
import { searchCampaigns } from './pickers/campaign';
import { searchProviders } from './pickers/provider';
import { nodeError } from './transport/problem';

export class AimForLeads implements INodeType {
  description: INodeTypeDescription = {
    displayName: 'Aim for Leads',
    name: 'aimForLeads',
    icon: { light: 'file:aimForLeads.svg', dark: 'file:aimForLeads.dark.svg' },
    group: ['transform'],
    version: 1,
    subtitle: '={{ $parameter["operation"] + ": " + $parameter["resource"] }}',
    description: 'Read contacts, have companies researched and archive campaigns, for ten rows or a million',
    defaults: { name: 'Aim for Leads' },
    usableAsTool: true,
    inputs: [NodeConnectionTypes.Main],
    outputs: [NodeConnectionTypes.Main],
    credentials: [{ name: 'aimForLeadsApi', required: true }],
    // Of a sleeping execution alone: Wait for Completion.
    webhooks: [
      {
        name: 'default',
        httpMethod: 'POST',
        responseMode: 'onReceived',
        path: '',
        restartWebhook: true,
      },
    ],
    properties: [
      {
        displayName: 'Resource',
        name: 'resource',
        type: 'options',
        noDataExpression: true,
        options: [
          { name: 'Archive', value: 'archive' },
          { name: 'Archive Policy', value: 'archivePolicy' },
          { name: 'Contact', value: 'contact' },
          { name: 'Erasure', value: 'erasure' },
          { name: 'Job', value: 'job' },
          { name: 'Research', value: 'research' },
        ],
        default: 'contact',
      },
      ...Object.values(resources).map(({ menu }) => menu),
      ...Object.values(resources).flatMap(({ operations }) =>
        Object.values(operations).flatMap(({ fields }) => fields),
      ),
    ],
  };

  methods = { listSearch: { searchArchives, searchCampaigns, searchProviders } };

  /** Nothing is registered anywhere: the URL is that of the execution. */
  webhookMethods = {
    default: {
      checkExists: async () => true,
      create: async () => true,
      delete: async () => true,
    },
  };

  async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
    return wake.call(this);
  }

  async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
    const output: INodeExecutionData[] = [];
    for (let itemIndex = 0; itemIndex < this.getInputData().length; itemIndex++) {
      try {
        const resource = this.getNodeParameter('resource', itemIndex);
        const name = this.getNodeParameter('operation', itemIndex);
        const operation = resources[resource]?.operations[name];
        if (operation === undefined) {
          throw new NodeOperationError(this.getNode(), `There is no operation ${name} of ${resource}`, {
            itemIndex,
          });
        }
        // A result counts only when it is whole: rows of an item that fails are never passed on.
        for (const row of await operation.execute.call(this, itemIndex)) {
          const pairedItem = { item: itemIndex };
          if (row instanceof FileItem) output.push({ json: row.json, binary: row.binary, pairedItem });
          else output.push({ json: row, pairedItem });
        }
      } catch (thrown) {
        const error = nodeError(this.getNode(), thrown, itemIndex);
        if (!this.continueOnFail()) throw withBegun(error, output);
        // Named so, and without the error itself, for of any other n8n keeps but one line.
        const json = { error: error.message, message: error.description || error.message };
        output.push({ json, pairedItem: { item: itemIndex } });
      }
    }
    return [output];
  }
}

const shownBatches = 10;

/** An error ends the node, and nothing else tells of the batches that its items before have begun. */
function withBegun<Failure extends NodeApiError | NodeOperationError>(
  error: Failure,
  output: INodeExecutionData[],
): Failure {
  const batches = output.filter(({ json }) => typeof json.batchId === 'string' && 'accepted' in json);
  if (batches.length === 0) return error;
  const ids = batches.slice(0, shownBatches).map(({ json }) => String(json.batchId));
  const more = batches.length > shownBatches ? ` and ${batches.length - shownBatches} more` : '';
  const begun = `The items before have made batches, which go on: ${ids.join(', ')}${more}. Retry On Fail of this node makes no new ones; a new execution does.`;
  error.description = error.description ? `${error.description}\n${begun}` : begun;
  return error;
}
