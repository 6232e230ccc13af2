'use strict';

const { api } = require('../authentication');

/** One input for each field of the form. */
const fieldsOfForm = async (z, bundle) => {
  if (!bundle.inputData.interface) {
    return [];
  }
  const { data } = await z.request({ url: api(bundle, `/interfaces/${bundle.inputData.interface}`) });
  return data.fields
    .filter((field) => field.type !== 'file')
    .map(({ key, label, required, help, options }) => ({
      key: `field__${key}`,
      label: label || key,
      required,
      helpText: help || undefined,
      choices: options.length ? options : undefined,
    }));
};

const create = async (z, bundle) => {
  const given = Object.entries(bundle.inputData).filter(([name]) => name.startsWith('field__'));
  const fields = Object.fromEntries(given.map(([name, value]) => [name.slice('field__'.length), value]));
  const body = { interface: bundle.inputData.interface, fields };
  return (await z.request({ method: 'POST', url: api(bundle, '/leads'), body })).data;
};

module.exports = {
  key: 'create_lead',
  noun: 'Lead',
  display: { label: 'Create Lead', description: 'Creates a lead, as if somebody had filled in the form.' },
  operation: {
    inputFields: [
      {
        key: 'interface',
        label: 'Interface',
        required: true,
        dynamic: 'interface_list.id.name',
        altersDynamicFields: true,
      },
      fieldsOfForm,
    ],
    perform: create,
    sample: { id: 'lead_01m83pph3v0019fd3g78e43pkn', interface: 'if_8Kx2vQ4mTzPa' },
  },
};
