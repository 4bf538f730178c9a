-- A mining host as Prisma writes it (`@@map` to plural names, camelCase columns): users, their
-- miners and what they paid.

CREATE TYPE "MinerStatus" AS ENUM ('ACTIVE', 'MAINTENANCE', 'RETIRED');
CREATE TABLE "users" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "miners" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT,
    "status" "MinerStatus" NOT NULL DEFAULT 'ACTIVE',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "miners_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "cost_payments" (
    "id" SERIAL NOT NULL,
    "userId" TEXT NOT NULL,
    "amount" DECIMAL(12,2) NOT NULL,
    "paidAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "cost_payments_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "users_email_key" ON "users"("email");
CREATE INDEX "miners_userId_idx" ON "miners"("userId");
ALTER TABLE "miners" ADD CONSTRAINT "miners_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "cost_payments" ADD CONSTRAINT "cost_payments_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

INSERT INTO "users" ("id", "email", "name") VALUES
    ('clh3am1f30000udocbhqg4151', 'ada@example.com', 'Ada'),
    ('clh3am1f30001udoc0v9t2x7d', 'grace@example.com', 'Grace'),
    ('clh3am1f30002udoc5q8wz3ka', 'tony@example.com', NULL);
INSERT INTO "miners" ("id", "userId", "name", "status", "updatedAt") VALUES
    ('clm1', 'clh3am1f30000udocbhqg4151', 'Ada 1', 'ACTIVE', '2026-01-01'),
    ('clm2', 'clh3am1f30000udocbhqg4151', 'Ada 2', 'RETIRED', '2026-01-01');
INSERT INTO "cost_payments" ("userId", "amount", "paidAt") VALUES
    ('clh3am1f30000udocbhqg4151', 250.00, '2026-01-05'),
    ('clh3am1f30001udoc0v9t2x7d', 99.99, '2026-01-06');
