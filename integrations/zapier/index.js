'use strict';

const { version: platformVersion } = require('zapier-platform-core');
const { version } = require('./package.json');
const authentication = require('./authentication');
const interfaceList = require('./triggers/interface_list');
const newLead = require('./triggers/new_lead');
const createLead = require('./creates/create_lead');

module.exports = {
  version,
  platformVersion,
  authentication: authentication.config,
  beforeRequest: [authentication.withKey],
  triggers: { [interfaceList.key]: interfaceList, [newLead.key]: newLead },
  creates: { [createLead.key]: createLead },
};
