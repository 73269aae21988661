// The SDKs for JavaScript, as an application makes them. Reads what to do as JSON from the standard
// input, one scenario by its name, and writes what it got as JSON to the standard output.
"use strict";

const http = require("node:http");
const https = require("node:https");
const grid = require("@azure/eventgrid");
const namespaces = require("@azure/eventgrid-namespaces");
const { CloudEvent, HTTP, emitterFor } = require("cloudevents");

const TIME = new Date("2024-01-02T03:04:05.678Z");
const CLOUD = { source: "/shop", type: "shop.order.placed", time: TIME, subject: "customer/1" };

const EVENTS = {
  EventGrid: [1, 2].map((n) => ({
    id: `e${n}`, subject: "customer/1", eventType: "Shop.OrderPlaced", eventTime: TIME,
    dataVersion: "1.0", data: { n, deep: { list: [1, "ü", null] } },
  })),
  CloudEvent: [
    { ...CLOUD, id: "e1", data: { n: 1 }, extensionAttributes: { region: "eu" } },
    { ...CLOUD, id: "e2", data: new Uint8Array([0, 1, 255]), datacontenttype: "image/png" },
  ],
  Custom: [1, 2].map((n) => ({
    id: `e${n}`, subject: "customer/1", eventType: "Shop.OrderPlaced", total: n,
    eventTime: TIME.toISOString(), dataVersion: "1.0", data: { n },
  })),
};

async function credential(task) {
  if (task.credential === "key") return new grid.AzureKeyCredential(task.key);
  if (task.credential === "SAS") {
    const key = new grid.AzureKeyCredential(task.key);
    const expires = new Date(Date.now() + 3_600_000);
    const token = await grid.generateSharedAccessSignature(task.endpoint, key, expires);
    return new grid.AzureSASCredential(token);
  }
  return {
    async getToken(scopes) {
      const scope = [scopes].flat().join(" ");
      if (scope !== "https://eventgrid.azure.net/.default") throw new Error(`scope ${scope}`);
      return { token: task.token, expiresOnTimestamp: Date.now() + 300_000 };
    },
  };
}

const options = (task) => ({ allowInsecureConnection: task.base.startsWith("http:") });

const tasks = {
  async publish(task) {
    const own = await credential(task);
    const client = new grid.EventGridPublisherClient(task.endpoint, task.schema, own, options(task));
    await client.send(EVENTS[task.schema]);
  },

  async pull(task) {
    const { base, topic, subscription } = task;
    const own = await credential(task);
    const sender = new namespaces.EventGridSenderClient(base, own, topic, options(task));
    const event = (n) => ({ ...CLOUD, id: `e${n}`, data: { n } });
    await sender.sendEvents(event(1));
    await sender.sendEvents([2, 3, 4].map(event));
    const receiver = new namespaces.EventGridReceiverClient(base, own, topic, subscription, options(task));
    const receive = async (maxEvents) => {
      const { details } = await receiver.receiveEvents({ maxEvents, maxWaitTime: 10 });
      return details.map(({ brokerProperties, event }) => ({
        token: brokerProperties.lockToken, count: brokerProperties.deliveryCount, id: event.id,
        type: event.type, source: event.source, subject: event.subject, data: event.data,
        time: event.time,
      }));
    };
    // A receive gives what is ready.
    const received = [];
    while (received.length < 4) received.push(...(await receive(10)));
    const [one, two, three, four] = received.map(({ token }) => token);
    const failed = ({ failedLockTokens, succeededLockTokens }) => ({
      failed: failedLockTokens.map(({ lockToken }) => lockToken), succeeded: succeededLockTokens,
    });
    return {
      received,
      acknowledged: failed(await receiver.acknowledgeEvents([one, "BAD"])),
      renewed: failed(await receiver.renewEventLocks([two])),
      released: failed(await receiver.releaseEvents([two])),
      again: await receive(1),
      delayed: failed(await receiver.releaseEvents([three], { releaseDelay: 60 })),
      rejected: failed(await receiver.rejectEvents([four])),
      tokens: [one, two, three, four],
    };
  },

  // The SDK leaves the way to its user: node's own client.
  async cloudevents(task) {
    const send = (message) =>
      new Promise((done, failed) => {
        const client = task.endpoint.startsWith("https:") ? https : http;
        const headers = { ...message.headers, "aeg-sas-key": task.key };
        const request = client.request(task.endpoint, { method: "POST", headers }, (answer) => {
          answer.resume();
          answer.on("end", () =>
            answer.statusCode === 200 ? done() : failed(new Error(`status ${answer.statusCode}`)),
          );
        });
        request.on("error", failed);
        request.end(message.body);
      });
    const form = { binary: HTTP.binary, structured: HTTP.structured }[task.form];
    const emit = emitterFor((message) => send(message), { binding: { ...HTTP, binary: form }, mode: "binary" });
    const more = { time: TIME.toISOString(), datacontenttype: "application/json", region: "eu" };
    for (const n of [1, 2]) {
      await emit(new CloudEvent({ ...CLOUD, ...more, id: `e${n}`, data: { n, text: "ü 😀" } }));
    }
  },
};

async function main() {
  let input = "";
  for await (const piece of process.stdin) input += piece;
  const task = JSON.parse(input);
  try {
    process.stdout.write(JSON.stringify({ done: (await tasks[task.task](task)) ?? null }));
  } catch (error) {
    const { statusCode, code, message } = error;
    process.stdout.write(JSON.stringify({ error: { statusCode, code, message } }));
  }
}

main();
