// What the Prisma workers share: JSON lines in and out, and clients that drive a work for a while.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
export const version = (name) => require(`${name}/package.json`).version;

export function walk(values, client, clients) {
  let step = Math.floor((client * values.length) / clients);
  return () => values[step++ % values.length];
}

// Every operation starts in a turn of the event loop of its own, unless `together`.
async function turn(work, next, deadline, took, together) {
  for (;;) {
    if (!together) await new Promise(setImmediate);
    const began = performance.now();
    await work(next());
    const ended = performance.now();
    took.push(ended - began);
    if (ended >= deadline) return;
  }
}

export async function drive(work, argumentsOf, { clients, seconds, together = false }) {
  const took = [];
  const began = performance.now();
  const deadline = began + seconds * 1000;
  const turns = [];
  for (let client = 0; client < clients; client++)
    turns.push(turn(work, argumentsOf(client), deadline, took, together));
  await Promise.all(turns);
  const elapsed = (performance.now() - began) / 1000;
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.floor(took.length * share)];
  return { ops: took.length, seconds: elapsed, p50_ms: at(0.5), p95_ms: at(0.95) };
}

export async function serve(orders) {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    try {
      answer = await orders[order.do](order);
    } catch (error) {
      answer = { error: `${error.name}: ${error.message}`.slice(0, 2000) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
    if (order.do === "close") process.exit(0);
  }
}
