// Prisma 7 in a process of its own: the same JSON lines as bench/worker.py.
// Relations are loaded as Prisma does unless told otherwise, by one query a table. Its preview
// feature relationJoins, one query in all, is a variant.
//
// Prisma joins `findUnique` calls that start in the same tick into one statement. Requests of
// independent clients do not start in the same tick, but clients that run in lockstep, as these
// would, do. So every operation starts in a turn of its own; what the joining gains is shown by a
// variant of the gets.
import { PrismaPg } from "@prisma/adapter-pg";
import client from "@prisma/client";
import { drive, serve, version, walk } from "./driver.mjs";

const { Prisma, PrismaClient } = client;

const PAGE_ROWS = 50;
const LAST_ENTRIES = 10;
const BATCH_ROWS = 5_000; // PostgreSQL takes 65,535 values at most; this is within it.
const BORN = new Date("2026-06-01T12:30:00Z");
const ORDER = [{ occurred_at: "desc" }, { id: "desc" }];

let prisma;
let clients = 0;
let created = 0;
const argumentsOf = {};
const staged = new Map();

const include = {
  profile: true,
  entries: { orderBy: [{ created_at: "desc" }, { id: "desc" }], take: LAST_ENTRIES },
};

const works = {
  get: (id) => prisma.account.findUniqueOrThrow({ where: { id } }),
  relations: (id) =>
    prisma.account.findUniqueOrThrow({ where: { id }, include, relationLoadStrategy: "query" }),
  "relations, variant": (id) =>
    prisma.account.findUniqueOrThrow({ where: { id }, include, relationLoadStrategy: "join" }),
  "get, variant": (id) => prisma.account.findUniqueOrThrow({ where: { id } }),
  page_first: () => prisma.event.findMany({ orderBy: ORDER, take: PAGE_ROWS }),
  page_deep: (mark) =>
    prisma.event.findMany({
      orderBy: ORDER, cursor: { id: mark.id }, skip: 1, take: PAGE_ROWS,
    }),
  create: (email) => prisma.account.create({ data: newcomer(email) }),
};

function newcomer(email) {
  return {
    email, name: "New Comer", is_active: true, kind: "COMPANY", balance: "12.50",
    created_at: BORN, updated_at: BORN,
  };
}

function readings(rows) {
  const start = Date.parse("2026-01-01T00:00:00Z");
  const kinds = ["PERSON", "COMPANY", "PARTNER"];
  return Array.from({ length: rows }, (_, number) => ({
    account_id: "00000000-0000-0000-0000-" + (number % 1000).toString(16).padStart(12, "0"),
    recorded_at: new Date(start + number * 1000),
    kind: kinds[number % 3],
    amount: new Prisma.Decimal(number % 100_000).div(100),
    note: number % 4 === 0 ? null : `Reading ${number}`,
  }));
}

function run({ work, seconds }) {
  const together = work === "get, variant";
  return drive(works[work], argumentsOf[work], { clients, seconds, together });
}

async function open(order) {
  clients = order.clients;
  const adapter = new PrismaPg({ connectionString: order.url, max: order.connections });
  prisma = new PrismaClient({ adapter });
  await prisma.$connect();
  argumentsOf.get = argumentsOf.relations = (client) => walk(order.accounts, client, clients);
  argumentsOf.page_first = () => () => undefined;
  argumentsOf.page_deep = (client) => walk(order.marks, client, clients);
  argumentsOf.create = () => () => `created-prisma-${created++}@example.com`;
  argumentsOf["get, variant"] = argumentsOf["relations, variant"] = argumentsOf.get;
  return {
    versions: { prisma: version("@prisma/client"), node: process.versions.node },
    variants: {
      get: "sixteen gets started in one tick",
      relations: "its preview feature relationJoins",
    },
  };
}

function plain(row) {
  const { profile, entries, ...fields } = row;
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Date) fields[name] = value.toISOString().replace("Z", "+00:00");
    else if (value instanceof Prisma.Decimal) fields[name] = value.toFixed(2);
  }
  return fields;
}

async function sample(order) {
  const made = plain(await works.create(order.email));
  const again = plain(await works.get(made.id));
  if (JSON.stringify(made) !== JSON.stringify(again))
    throw new Error("create did not return what it stored");
  const families = [];
  for (const key of order.accounts) families.push(await works.relations(key));
  return {
    get: (await Promise.all(order.accounts.map(works.get))).map(plain),
    relations: families.map((row) => ({
      account: plain(row), profile: plain(row.profile), entries: row.entries.map(plain),
    })),
    page_first: (await works.page_first()).map(plain),
    page_deep: (await works.page_deep(order.mark)).map(plain),
    create: [{ ...made, id: "", email: "" }],
  };
}

async function bulk({ rows }) {
  if (!staged.has(rows)) staged.set(rows, readings(rows));
  const all = staged.get(rows);
  const began = performance.now();
  for (let from = 0; from < all.length; from += BATCH_ROWS)
    await prisma.reading.createMany({ data: all.slice(from, from + BATCH_ROWS) });
  return { seconds: (performance.now() - began) / 1000 };
}

async function close() {
  await prisma?.$disconnect();
  return {};
}

await serve({ open, sample, run, bulk, close });
