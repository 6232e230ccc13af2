'use strict';

const { api } = require('../authentication');

/** Zapier wants an id at the top: that of the lead, so that a lead that is sent again is taken once. */
const withId = (body) => ({ id: body.data.lead.id, ...body });

const subscribe = async (z, bundle) => {
  const body = { target: bundle.targetUrl, interface: bundle.inputData.interface, events: ['lead.created'] };
  return (await z.request({ method: 'POST', url: api(bundle, '/hooks'), body })).data;
};

/** A person may have removed the webhook in Leadhook before: then there is nothing to end. */
const unsubscribe = async (z, bundle) => {
  const url = api(bundle, `/hooks/${bundle.subscribeData.id}`);
  const response = await z.request({ method: 'DELETE', url, skipThrowForStatus: true });
  if (response.status !== 404) {
    response.throwForStatus();
  }
  return {};
};

const samples = async (z, bundle) => {
  const params = { interface: bundle.inputData.interface };
  return (await z.request({ url: api(bundle, '/hooks/sample'), params })).data.map(withId);
};

module.exports = {
  key: 'new_lead',
  noun: 'Lead',
  display: { label: 'New Lead', description: 'Triggers when somebody fills in a form.' },
  operation: {
    type: 'hook',
    inputFields: [
      {
        key: 'interface',
        label: 'Interface',
        required: true,
        dynamic: 'interface_list.id.name',
        helpText: 'Its leads trigger the Zap.',
      },
    ],
    performSubscribe: subscribe,
    performUnsubscribe: unsubscribe,
    perform: async (z, bundle) => [withId(bundle.cleanedRequest)],
    performList: samples,
    sample: {
      id: 'lead_01m83pph3v0019fd3g78e43pkn',
      type: 'lead.created',
      timestamp: '2026-11-23T08:00:00.123Z',
      data: {
        lead: {
          id: 'lead_01m83pph3v0019fd3g78e43pkn',
          received_at: '2026-11-23T08:00:00.123Z',
          test: false,
          fields: { name: 'Ada Lovelace', email: 'ada@example.com', phone: '+15550100', message: 'Hello' },
        },
        interface: { id: 'if_8Kx2vQ4mTzPa', name: 'Contact sales' },
      },
    },
  },
};
