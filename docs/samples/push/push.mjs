// Tasks in Node: Postroom pushes each one, signed, and tries it again until it is answered with 2xx. node push.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const done = new Set(); // in your application: a table with a unique key on the id, written with the task's own rows

const tasks = {
  async "crm.sync"({ customer, email }) {
    console.log("synchronized", customer, email);
  },
  async "report.build"({ day }) {
    if (!/^\d{4}-\d\d-\d\d$/.test(day)) throw new Reject(`${day} is no day`);
    throw new Error("the warehouse is asleep");
  },
};

class Reject extends Error {} // it can never succeed

function verify(headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const mac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${mac}`);
  return (headers["webhook-signature"] ?? "").split(" ").some((each) => {
    const given = Buffer.from(each);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function run(id, { type, data }) {
  if (done.has(id)) return [204, ""];
  if (!Object.hasOwn(tasks, type)) return [404, `no task ${type} here`]; // tried again: perhaps it is deployed by then
  try {
    await tasks[type](data);
    done.add(id);
    return [204, ""];
  } catch (error) {
    return [error instanceof Reject ? 410 : 500, error.message]; // 410: a dead letter at once
  }
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!verify(request.headers, body)) return response.writeHead(401).end();
  const [status, text] = await run(request.headers["webhook-id"], JSON.parse(body));
  response.writeHead(status).end(text);
}).listen(Number(process.env.PORT ?? 9000), process.env.HOST ?? "127.0.0.1");
