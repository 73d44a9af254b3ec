import type {
  IAuthenticateGeneric,
  ICredentialTestRequest,
  ICredentialType,
  Icon,
  INodeProperties,
} from 'n8n-workflow';

export class AimForLeadsApi implements ICredentialType {
  name = 'aimForLeadsApi';

  displayName = 'Aim for Leads API';

  icon: Icon = {
    light: 'file:../nodes/AimForLeads/aimForLeads.svg',
    dark: 'file:../nodes/AimForLeads/aimForLeads.dark.svg',
  };

  documentationUrl =
    'https://github.com/aim-for-leads/n8n-nodes-aim-for-leads/blob/main/docs/nodes.md#credentials';

  properties: INodeProperties[] = [
    {
      displayName: 'Base URL',
      name: 'baseUrl',
      type: 'string',
      default: '',
      required: true,
      placeholder: 'e.g. https://leads.example.com',
      description:
        'Where your Aim for Leads API answers, without /v1. On your own machine <code>npm start</code> prints it.',
    },
    {
      displayName: 'API Key',
      name: 'apiKey',
      type: 'string',
      typeOptions: { password: true },
      default: '',
      required: true,
      placeholder: 'afl_…',
      description:
        'A key with the scopes read and research, and write for archives. It is shown once, when it is made.',
    },
  ];

  authenticate: IAuthenticateGeneric = {
    type: 'generic',
    properties: { headers: { Authorization: '=Bearer {{$credentials.apiKey.trim()}}' } },
  };

  // Any web server may answer 200 to a GET: only ours names the product.
  test: ICredentialTestRequest = {
    request: {
      baseURL: '={{$credentials.baseUrl.trim().replace(/\\/+$/, "").replace(/\\/v1$/, "")}}',
      url: '/v1/me',
      method: 'GET',
    },
    rules: [
      {
        type: 'responseSuccessBody',
        properties: {
          key: 'product',
          // A rule names the value of a wrong answer: one that does not say what product it is of.
          value: undefined,
          message: 'This base URL answers, but it is not an Aim for Leads API',
        },
      },
    ],
  };
}
