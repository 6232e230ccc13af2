'use strict';

const { api } = require('../authentication');

/** All interfaces, to choose from. */
const list = async (z, bundle) => {
  const found = [];
  let cursor;
  do {
    const params = cursor ? { limit: 100, cursor } : { limit: 100 };
    const { data } = await z.request({ url: api(bundle, '/interfaces'), params });
    found.push(...data.data);
    cursor = data.next;
  } while (cursor);
  return found;
};

module.exports = {
  key: 'interface_list',
  noun: 'Interface',
  display: {
    label: 'List of Interfaces',
    description: 'The interfaces to choose from in other steps.',
    hidden: true,
  },
  operation: { perform: list },
};
