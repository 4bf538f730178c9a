"""What leases say to the database, table by table: `{table}` and `{fence}` are filled in."""

from __future__ import annotations

from bedplate.kernel.leased import ATTEMPTS_MAX, PRIORITY_MAX

# What every write of a holder asks for. Expiry is not in it: a lease that ran out, and that nobody
# took, is still the only one.
FENCE = "id = :id AND epoch = :epoch AND holder = :holder AND state = 'RUNNING'"

# What is due has a turn that is no later than this; the index stops there, however much waits.
AHEAD = f"interval '{PRIORITY_MAX} minutes'"

LOCK = "FOR NO KEY UPDATE SKIP LOCKED"

# An expired row is looked at again as it is once locked, so its outcome belongs in here. A key's
# rows wait for one another in the order of their ids; the unique index on running keys holds even
# where a lower id is committed late.
PICK = """
WITH at AS MATERIALIZED (SELECT bedplate.clock() AS moment),
expired AS (
    SELECT id, true AS ran_out, CASE
        WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
        WHEN attempts >= max_attempts THEN 'FAILED'
        ELSE 'RUNNING' END AS outcome
    FROM {table}
    WHERE state = 'RUNNING' AND expires_at <= (SELECT moment FROM at) {wanted}
    ORDER BY expires_at LIMIT :limit {lock}
),
due AS (
    SELECT id, false AS ran_out, 'RUNNING' AS outcome
    FROM {table} AS candidate
    WHERE {waits} AND run_at <= (SELECT moment FROM at)
        AND {turn} <= (SELECT moment AT TIME ZONE 'UTC' + {ahead} FROM at)
        AND (serial_key IS NULL OR NOT EXISTS (
            SELECT FROM {table} AS other
            WHERE other.serial_key = candidate.serial_key AND other.state = 'RUNNING'
        ) AND NOT EXISTS (
            SELECT FROM {table} AS other
            WHERE other.serial_key = candidate.serial_key AND other.state = 'PENDING'
                AND other.id < candidate.id
        )) {wanted}
    ORDER BY {turn}, id LIMIT (SELECT :limit - count(*) FROM expired) {lock}
)
SELECT id AS picked_id, ran_out, outcome, moment
FROM (SELECT * FROM expired UNION ALL SELECT * FROM due) AS both_kinds, at
"""

# Whether a failure is the last.
ENDED = "(cancel_requested_at IS NOT NULL OR attempts >= max_attempts)"
FAIL = f"""
UPDATE {{table}} SET
    state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
        WHEN attempts >= max_attempts THEN 'FAILED' ELSE 'PENDING' END,
    finished_at = CASE WHEN {ENDED} THEN bedplate.clock() END,
    run_at = CASE WHEN {ENDED} THEN run_at ELSE bedplate.clock() + :delay END,
    holder = NULL, expires_at = NULL, errors = {{errors}}
WHERE {{fence}} RETURNING state
"""
END = """
UPDATE {table} SET state = :state, finished_at = bedplate.clock(), holder = NULL, expires_at = NULL
WHERE {fence}
"""
# What was not worked on was not tried.
RELEASE = """
UPDATE {table} SET
    state = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELLED' END,
    finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN bedplate.clock() END,
    attempts = attempts - 1, holder = NULL, expires_at = NULL
WHERE {fence} RETURNING state
"""
EXTEND = """
UPDATE {table} SET expires_at = bedplate.clock() + :extend
WHERE {fence} RETURNING cancel_requested_at IS NOT NULL AS cancelled
"""
# A row that its holder's own transaction has locked cannot be claimed, and is left alone: waiting
# for it would let the holder's other leases run out.
EXTEND_ALL = """
WITH mine AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS bigint[]))
        AS given (mine, mine_epoch)
),
held AS (
    SELECT id FROM {table} JOIN mine ON id = mine AND epoch = mine_epoch
    WHERE holder = :holder AND state = 'RUNNING' FOR NO KEY UPDATE OF {alias} SKIP LOCKED
),
extended AS (
    UPDATE {table} SET expires_at = bedplate.clock() + :extend
    FROM held WHERE {alias}.id = held.id
)
SELECT id, cancel_requested_at IS NOT NULL AS cancelled
FROM {table} JOIN mine ON id = mine AND epoch = mine_epoch
WHERE holder = :holder AND state = 'RUNNING'
"""
CANCEL = """
UPDATE {table} SET
    state = CASE state WHEN 'PENDING' THEN 'CANCELLED' ELSE state END,
    finished_at = CASE state WHEN 'PENDING' THEN bedplate.clock() END,
    cancel_requested_at = coalesce(cancel_requested_at, bedplate.clock())
WHERE id = :id AND state IN ('PENDING', 'RUNNING') RETURNING state
"""
RETRY = """
UPDATE {table} SET
    state = 'PENDING', attempts = 0, run_at = bedplate.clock(), finished_at = NULL,
    cancel_requested_at = NULL
WHERE id = :id AND state = 'FAILED' RETURNING state
"""


def with_error(code: str, message: str) -> str:
    """Return SQL for the row's errors with one more; the oldest goes once there are too many."""
    return (
        f"CASE WHEN jsonb_array_length(errors) < {ATTEMPTS_MAX} THEN errors ELSE errors - 0 END || "
        "jsonb_build_object('at', bedplate.clock(), 'attempt', attempts, "
        f"'code', {code}, 'message', {message})"
    )
