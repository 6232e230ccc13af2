'use strict';

/** The address of a path of the API, such as `/hooks`, at the person's own Leadhook. */
const api = (bundle, path) => `${bundle.authData.address.trim().replace(/\/+$/, '')}/api/v1${path}`;

/** Every request to Leadhook carries the key; none to another host does. */
const withKey = (request, z, bundle) => {
  if (bundle.authData.address && request.url.startsWith(api(bundle, '/'))) {
    request.headers.Authorization = `Bearer ${bundle.authData.key}`;
  }
  return request;
};

const config = {
  type: 'custom',
  fields: [
    {
      key: 'address',
      label: 'Address of Leadhook',
      required: true,
      helpText: 'Such as https://leads.example.com, where you sign in.',
    },
    {
      key: 'key',
      label: 'API Key',
      type: 'password',
      required: true,
      helpText: 'Of *My User Profile, API Keys*: private, with the scopes read, write and capture.',
    },
  ],
  test: async (z, bundle) => (await z.request({ url: api(bundle, '/account') })).data,
  connectionLabel: '{{name}}',
};

module.exports = { api, withKey, config };
