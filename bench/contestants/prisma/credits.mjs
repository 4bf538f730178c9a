// Prisma 7 charging credits: an interactive transaction that does by hand what `deduct` does.
// Prisma has no FOR UPDATE, so the lock is raw SQL, as its documentation advises.
import { PrismaPg } from "@prisma/adapter-pg";
import client from "@prisma/client";
import { drive, serve, version, walk } from "./driver.mjs";

const { PrismaClient } = client;
const PATIENCE = { maxWait: 60_000, timeout: 60_000 };
const BURN_ORDER = [
  { priority: "asc" },
  { expires_at: { sort: "asc", nulls: "last" } },
  { created_at: "asc" },
  { id: "asc" },
];

let prisma;
let clients = 0;
let acknowledged = 0;
let numbered = 0;
let prefix = "";
const argumentsOf = {};

const deduct = ([userId, key, amount = 1]) =>
  prisma.$transaction(async (tx) => {
    const [balance] = await tx.$queryRaw`
      SELECT id, credits_remaining, credits_held FROM bench.credit_balances
      WHERE user_id = ${userId}::uuid FOR UPDATE`;
    const one_charge = { credit_balance_id: balance.id, action: "deduct", key };
    const known = await tx.usageHistory.findUnique({ where: { one_charge } });
    if (known) return [known.credits_used, known.balance_after];
    const available = balance.credits_remaining - balance.credits_held - amount;
    if (available < 0) return null;
    const now = new Date();
    const grants = await tx.creditGrant.findMany({
      where: {
        credit_balance_id: balance.id,
        is_open: true,
        remaining: { gt: prisma.creditGrant.fields.held },
        OR: [{ expires_at: null }, { expires_at: { gt: now } }],
      },
      orderBy: BURN_ORDER,
    });
    const allocations = [];
    let needed = amount;
    for (const grant of grants) {
      const taken = Math.min(needed, grant.remaining - grant.held);
      await tx.creditGrant.update({
        where: { id: grant.id },
        data: { remaining: grant.remaining - taken },
        select: { id: true },
      });
      allocations.push({ grant_id: grant.id, amount: taken });
      needed -= taken;
      if (needed === 0) break;
    }
    if (needed > 0) throw new Error("the grants do not cover the balance");
    const left = balance.credits_remaining - amount;
    await tx.creditBalance.update({
      where: { id: balance.id },
      data: { credits_remaining: left, last_synced_at: now },
      select: { id: true },
    });
    // By their keys and in batches: a nested create would read the rows back.
    const { id } = await tx.usageHistory.create({
      data: {
        user_id: userId, credit_balance_id: balance.id, operation_type: "AI_TEXT_CHAT",
        credits_used: amount, action: "deduct", key, balance_after: left,
        available_after: available, timestamp: now,
        grant_id: allocations.length === 1 ? allocations[0].grant_id : null,
      },
      select: { id: true },
    });
    if (allocations.length > 1) {
      await tx.usageAllocation.createMany({
        data: allocations.map((each) => ({ usage_id: id, ...each })),
      });
    }
    return [amount, left];
  }, PATIENCE);

async function open(order) {
  ({ clients, prefix } = order);
  const adapter = new PrismaPg({ connectionString: order.url, max: order.connections });
  prisma = new PrismaClient({ adapter });
  await prisma.$connect();
  const charges = (next) => () => [next(), `${prefix}:${numbered++}`];
  argumentsOf.deduct = (client) => charges(walk(order.users, client, clients));
  argumentsOf.deduct_hot = () => charges(() => order.hot);
  return {
    versions: { prisma: version("@prisma/client"), node: process.versions.node },
    works: Object.keys(argumentsOf),
  };
}

async function sample({ user, asked }) {
  const answers = [];
  for (const [key, amount] of asked) answers.push(await deduct([user, `${prefix}:${key}`, amount]));
  return { answers };
}

async function run({ work, seconds }) {
  const stretch = await drive(deduct, argumentsOf[work], { clients, seconds });
  acknowledged += stretch.ops;
  return stretch;
}

async function close() {
  await prisma?.$disconnect();
  return {};
}

await serve({ open, sample, run, close, acknowledged: async () => ({ charges: acknowledged }) });
