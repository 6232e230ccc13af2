// node zapier.cjs APP STEP BUNDLE: runs one step of an app in Zapier's own platform core, and prints its result as JSON.
'use strict';

const core = require('zapier-platform-core');

const [, , path, step, bundle] = process.argv;
const app = require(path);

const run = async () => {
  if (step === 'validate') {
    return (await core.createAppHandler(app)({ command: 'validate' })).results;
  }
  const method = step.split('.').reduce((part, name) => part[name], app);
  return core.createAppTester(app, { customStoreKey: 'tests' })(method, JSON.parse(bundle));
};

run().then(
  (result) => process.stdout.write(`\n${JSON.stringify({ result })}\n`),
  (error) => process.stdout.write(`\n${JSON.stringify({ error: error.message, name: error.name })}\n`),
);
