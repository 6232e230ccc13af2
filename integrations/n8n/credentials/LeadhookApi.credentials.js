'use strict';

class LeadhookApi {
  name = 'leadhookApi';
  displayName = 'Leadhook API';
  properties = [
    {
      displayName: 'Address of Leadhook',
      name: 'address',
      type: 'string',
      default: '',
      required: true,
      placeholder: 'https://leads.example.com',
      description: 'Where you sign in',
    },
    {
      displayName: 'API Key',
      name: 'key',
      type: 'string',
      typeOptions: { password: true },
      default: '',
      required: true,
      description: 'Private, with the scopes read and write: My User Profile, API Keys',
    },
  ];
  authenticate = { type: 'generic', properties: { headers: { Authorization: '=Bearer {{$credentials.key}}' } } };
  test = { request: { baseURL: '={{$credentials.address.replace(/\\/+$/, "")}}', url: '/api/v1/account' } };
}

module.exports = { LeadhookApi };
