'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');

const CREDENTIALS = 'leadhookApi';
const TOLERANCE = 5 * 60; // seconds between the time of a request and now

/** Calls the API with the node's credentials. */
const call = async (context, method, path, body) => {
  const { address } = await context.getCredentials(CREDENTIALS);
  const url = `${address.trim().replace(/\/+$/, '')}/api/v1${path}`;
  return context.helpers.httpRequestWithAuthentication.call(context, CREDENTIALS, { method, url, body, json: true });
};

/** Whether a request is signed with the hook's secret, as Standard Webhooks has it. After a rotation it has two signatures. */
const isSigned = (headers, body, secret, now = Date.now() / 1000) => {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  if (!(Math.abs(now - Number(timestamp)) <= TOLERANCE)) {
    return false;
  }
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const wanted = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  return String(headers['webhook-signature'])
    .split(' ')
    .filter((each) => each.startsWith('v1,'))
    .map((each) => Buffer.from(each.slice(3), 'base64'))
    .some((given) => given.length === wanted.length && timingSafeEqual(given, wanted));
};

const isUnknown = (error) => [error.httpCode, error.status, error.response?.status].map(String).includes('404');

class LeadhookTrigger {
  description = {
    displayName: 'Leadhook Trigger',
    name: 'leadhookTrigger',
    group: ['trigger'],
    version: 1,
    description: 'Starts the workflow when somebody fills in a form',
    defaults: { name: 'Leadhook Trigger' },
    inputs: [],
    outputs: ['main'],
    credentials: [{ name: CREDENTIALS, required: true }],
    webhooks: [{ name: 'default', httpMethod: 'POST', responseMode: 'onReceived', path: 'webhook', rawBody: true }],
    properties: [
      {
        displayName: 'Interface Name or ID',
        name: 'interface',
        type: 'options',
        typeOptions: { loadOptionsMethod: 'interfaces' },
        default: '',
        required: true,
        description: 'Its leads start the workflow',
      },
    ],
  };

  methods = {
    loadOptions: {
      /** All interfaces, to choose from. */
      async interfaces() {
        const found = [];
        let cursor = '';
        do {
          const page = await call(this, 'GET', `/interfaces?limit=100&cursor=${cursor}`);
          found.push(...page.data.map(({ id, name }) => ({ name, value: id })));
          cursor = page.next;
        } while (cursor);
        return found;
      },
    },
  };

  webhookMethods = {
    default: {
      /** The hook may have been ended in Leadhook, or belong to the workflow's test address. */
      async checkExists() {
        const kept = this.getWorkflowStaticData('node');
        if (!kept.id || kept.target !== this.getNodeWebhookUrl('default')) {
          return false;
        }
        try {
          await call(this, 'GET', `/hooks/${kept.id}`);
          return true;
        } catch (error) {
          if (isUnknown(error)) {
            return false;
          }
          throw error;
        }
      },
      async create() {
        const target = this.getNodeWebhookUrl('default');
        const hook = await call(this, 'POST', '/hooks', { target, interface: this.getNodeParameter('interface') });
        Object.assign(this.getWorkflowStaticData('node'), { id: hook.id, secret: hook.secret, target });
        return true;
      },
      async delete() {
        const kept = this.getWorkflowStaticData('node');
        if (kept.id) {
          try {
            await call(this, 'DELETE', `/hooks/${kept.id}`);
          } catch (error) {
            if (!isUnknown(error)) {
              throw error;
            }
          }
        }
        for (const name of ['id', 'secret', 'target']) {
          delete kept[name];
        }
        return true;
      },
    },
  };

  /** A request that Leadhook did not sign is answered 401 and starts nothing. */
  async webhook() {
    const request = this.getRequestObject();
    const { secret } = this.getWorkflowStaticData('node');
    if (!secret || !isSigned(this.getHeaderData(), request.rawBody, secret)) {
      this.getResponseObject().status(401).send('The signature does not fit.');
      return { noWebhookResponse: true };
    }
    return { workflowData: [this.helpers.returnJsonArray(this.getBodyData())] };
  }
}

module.exports = { LeadhookTrigger, isSigned };
