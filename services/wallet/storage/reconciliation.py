"""Named queries that each find one kind of difference inside Wallet's own books.

They read one moment of the ledger (the caller fixes it), and every row they return is one finding: a subject and the
facts as text.
"""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.credit import HoldState, Price
from services.wallet.domain.reconciliation import Finding, FindingKind, HeldCredits, Repair

_LAST = """
LEFT JOIN LATERAL (SELECT version, balance_after, hash FROM wallet.entries AS e
  WHERE e.account_id = a.account_id ORDER BY version DESC LIMIT 1) AS e ON true
"""
# What each transfer does to each kind of account of its user or of the house.
_MOVES = """
SELECT t.transfer_id, t.operation, t.kind, t.user_id, t.reference_id, t.request_id, t.answer, t.description,
       sum(e.amount) FILTER (WHERE a.kind = 'user_held') AS held,
       sum(e.amount) FILTER (WHERE a.kind = 'revenue') AS revenue,
       max(e.balance_after) FILTER (WHERE a.kind = 'user') AS available_after,
       max(e.balance_after) FILTER (WHERE a.kind = 'user_held') AS held_after
FROM wallet.transfers AS t
LEFT JOIN wallet.entries AS e ON e.transfer_id = t.transfer_id
LEFT JOIN wallet.accounts AS a ON a.account_id = e.account_id
GROUP BY t.transfer_id
"""
_PARTS = {"@last": _LAST, "@moves": _MOVES, "@closing": "operation IN ('settle', 'release', 'expire')"}

# Subject first, then the facts as an object of text.
_CHECKS: dict[FindingKind, str] = {
    FindingKind.ENTRY_WITHOUT_ACCOUNT: """
SELECT e.entry_id, jsonb_build_object('account', e.account_id::text) FROM wallet.entries AS e
WHERE NOT EXISTS (SELECT FROM wallet.accounts AS a WHERE a.account_id = e.account_id)""",
    FindingKind.ENTRY_WITHOUT_TRANSFER: """
SELECT e.entry_id, jsonb_build_object('transfer', e.transfer_id::text) FROM wallet.entries AS e
WHERE NOT EXISTS (SELECT FROM wallet.transfers AS t WHERE t.transfer_id = e.transfer_id)""",
    FindingKind.ENTRY_MISDATED: """
SELECT e.entry_id, jsonb_build_object('entry', e.create_time::text, 'transfer', t.create_time::text)
FROM wallet.entries AS e JOIN wallet.transfers AS t USING (transfer_id) WHERE e.create_time <> t.create_time""",
    FindingKind.ACCOUNT_BALANCE_WRONG: """
SELECT a.account_id, jsonb_build_object('account', a.balance::text, 'entry', coalesce(e.balance_after, 0)::text)
FROM wallet.accounts AS a @last WHERE a.balance <> coalesce(e.balance_after, 0)""",
    FindingKind.ACCOUNT_VERSION_WRONG: """
SELECT a.account_id, jsonb_build_object('account', a.version::text, 'entry', coalesce(e.version, 0)::text)
FROM wallet.accounts AS a @last WHERE a.version <> coalesce(e.version, 0)""",
    FindingKind.ACCOUNT_HASH_WRONG: """
SELECT a.account_id, '{}'::jsonb FROM wallet.accounts AS a @last
WHERE a.last_hash <> coalesce(e.hash, decode(repeat('00', 32), 'hex'))""",
    FindingKind.ACCOUNT_OVERDRAWN: """
SELECT account_id, jsonb_build_object('balance', balance::text, 'kind', kind) FROM wallet.accounts
WHERE balance < 0 AND kind NOT IN ('grants', 'adjustments')""",
    FindingKind.ACCOUNT_INCOMPLETE: """
SELECT owner_id, jsonb_build_object('kinds', string_agg(kind, ',' ORDER BY kind)) FROM wallet.accounts
WHERE kind IN ('user', 'user_held') GROUP BY owner_id HAVING count(*) <> 2""",
    FindingKind.BOOKS_UNBALANCED: """
SELECT 'all accounts', jsonb_build_object('sum', sum(balance)::text) FROM wallet.accounts HAVING sum(balance) <> 0""",
    FindingKind.TRANSFER_EMPTY: """
SELECT t.transfer_id, jsonb_build_object('entries', count(e.entry_id)::text) FROM wallet.transfers AS t
LEFT JOIN wallet.entries AS e USING (transfer_id) GROUP BY t.transfer_id HAVING count(e.entry_id) < 2""",
    FindingKind.TRANSFER_UNBALANCED: """
SELECT transfer_id, jsonb_build_object('sum', sum(amount)::text) FROM wallet.entries
GROUP BY transfer_id HAVING sum(amount) <> 0""",
    FindingKind.TRANSFER_MISDIRECTED: """
SELECT DISTINCT t.transfer_id, jsonb_build_object('user', t.user_id::text, 'account', a.owner_id::text)
FROM wallet.transfers AS t JOIN wallet.entries AS e USING (transfer_id) JOIN wallet.accounts AS a USING (account_id)
WHERE a.kind IN ('user', 'user_held') AND a.owner_id <> t.user_id""",
    FindingKind.TRANSFER_KIND_WRONG: """
SELECT transfer_id, jsonb_build_object('operation', operation, 'kind', kind) FROM wallet.transfers
WHERE kind <> CASE operation WHEN 'grant' THEN 'signup_grant' WHEN 'adjust' THEN 'admin_adjust'
  WHEN 'move' THEN 'merge' ELSE operation END""",
    FindingKind.ANSWER_WRONG: """
SELECT m.transfer_id, jsonb_build_object('answer', m.answer->>'available', 'entry', m.available_after::text)
FROM (@moves) AS m
WHERE (m.answer->>'available')::bigint <> m.available_after OR (m.answer->>'held')::bigint <> m.held_after""",
    FindingKind.HELD_SUM_WRONG: """
SELECT coalesce(a.owner_id, h.user_id), jsonb_build_object('account', coalesce(a.balance, 0)::text,
       'holds', coalesce(h.total, 0)::text)
FROM (SELECT owner_id, balance FROM wallet.accounts WHERE kind = 'user_held') AS a
FULL JOIN (SELECT user_id, sum(amount) AS total FROM wallet.holds WHERE state = 'held' GROUP BY user_id) AS h
  ON h.user_id = a.owner_id
WHERE coalesce(a.balance, 0) <> coalesce(h.total, 0)""",
    FindingKind.HOLD_WITHOUT_TRANSFER: """
SELECT h.hold_id, jsonb_build_object('user', h.user_id::text) FROM wallet.holds AS h
WHERE NOT EXISTS (SELECT FROM wallet.transfers AS t
  WHERE t.operation = 'hold' AND t.request_id = CAST(h.hold_id AS text))""",
    FindingKind.TRANSFER_WITHOUT_HOLD: """
SELECT t.transfer_id, jsonb_build_object('hold', t.request_id) FROM wallet.transfers AS t
WHERE t.operation = 'hold'
  AND NOT EXISTS (SELECT FROM wallet.holds AS h WHERE CAST(h.hold_id AS text) = t.request_id)""",
    FindingKind.HOLD_AMOUNT_WRONG: """
SELECT h.hold_id, jsonb_build_object('hold', h.amount::text, 'held', m.held::text)
FROM wallet.holds AS h JOIN (@moves) AS m ON m.operation = 'hold' AND m.request_id = CAST(h.hold_id AS text)
WHERE h.amount <> m.held""",
    FindingKind.HOLD_OWNER_WRONG: """
SELECT h.hold_id, jsonb_build_object('hold', h.user_id::text, 'transfer', t.user_id::text)
FROM wallet.holds AS h JOIN wallet.transfers AS t
  ON t.operation = 'hold' AND t.request_id = CAST(h.hold_id AS text) AND t.user_id <> h.user_id""",
    FindingKind.HOLD_PRICE_WRONG: """
SELECT h.hold_id, jsonb_build_object('kind', h.price_kind, 'version', h.price_version::text, 'hold', h.amount::text,
       'price', p.amount::text)
FROM wallet.holds AS h LEFT JOIN wallet.prices AS p ON p.kind = h.price_kind AND p.version = h.price_version
WHERE p.amount IS DISTINCT FROM h.amount""",
    FindingKind.HOLD_END_UNRECORDED: """
SELECT h.hold_id, jsonb_build_object('state', h.state) FROM wallet.holds AS h
WHERE h.state <> 'held' AND NOT EXISTS (SELECT FROM wallet.transfers AS t
  WHERE t.@closing AND t.reference_id = CAST(h.hold_id AS text))""",
    FindingKind.HOLD_NOT_ENDED: """
SELECT h.hold_id, jsonb_build_object('operation', t.operation) FROM wallet.holds AS h
JOIN wallet.transfers AS t ON t.@closing AND t.reference_id = CAST(h.hold_id AS text) WHERE h.state = 'held'""",
    FindingKind.HOLD_END_WRONG: """
SELECT h.hold_id, jsonb_build_object('state', h.state, 'operation', t.operation) FROM wallet.holds AS h
JOIN wallet.transfers AS t ON t.@closing AND t.reference_id = CAST(h.hold_id AS text)
WHERE h.state <> 'held'
  AND h.state <> CASE t.operation WHEN 'settle' THEN 'settled' WHEN 'release' THEN 'released' ELSE 'expired' END""",
    FindingKind.HOLD_ENDED_TWICE: """
SELECT reference_id, jsonb_build_object('operations', string_agg(operation, ',')) FROM wallet.transfers
WHERE @closing GROUP BY reference_id HAVING count(*) > 1""",
    FindingKind.HOLD_SETTLED_WRONG: """
SELECT h.hold_id, jsonb_build_object('hold', h.settled::text, 'revenue', coalesce(m.revenue, 0)::text)
FROM wallet.holds AS h JOIN (@moves) AS m ON m.operation = 'settle' AND m.reference_id = CAST(h.hold_id AS text)
WHERE h.settled <> coalesce(m.revenue, 0)""",
    FindingKind.PRICE_VERSION_MISSING: """
SELECT kind, jsonb_build_object('versions', count(*)::text, 'newest', max(version)::text) FROM wallet.prices
GROUP BY kind HAVING count(*) <> max(version) OR min(version) <> 1""",
    FindingKind.PRICE_MISORDERED: """
SELECT p.kind, jsonb_build_object('version', p.version::text) FROM wallet.prices AS p
JOIN wallet.prices AS n ON n.kind = p.kind AND n.version = p.version + 1 AND n.valid_from < p.valid_from""",
    FindingKind.PRICE_UNAUDITED: """
SELECT p.kind, jsonb_build_object('version', p.version::text) FROM wallet.prices AS p
WHERE p.version > 1 AND NOT EXISTS (SELECT FROM wallet.audits AS w WHERE w.action = 'set_price'
  AND w.subject = p.kind AND (w.answer->>'version')::bigint = p.version)""",
    FindingKind.QUOTA_VERSION_MISSING: """
SELECT plan || '/' || kind, jsonb_build_object('versions', count(*)::text, 'newest', max(version)::text)
FROM wallet.quotas GROUP BY plan, kind HAVING count(*) <> max(version) OR min(version) <> 1""",
    FindingKind.ADJUSTMENT_UNAUDITED: """
SELECT t.transfer_id, jsonb_build_object('user', t.user_id::text) FROM wallet.transfers AS t
WHERE t.operation = 'adjust' AND NOT EXISTS (SELECT FROM wallet.audits AS w
  WHERE w.action = 'adjust_balance' AND w.request_id = t.request_id)""",
    FindingKind.AUDIT_WITHOUT_ADJUSTMENT: """
SELECT w.audit_id, jsonb_build_object('user', w.subject) FROM wallet.audits AS w
WHERE w.action = 'adjust_balance' AND NOT EXISTS (SELECT FROM wallet.transfers AS t
  WHERE t.operation = 'adjust' AND t.request_id = w.request_id)""",
    FindingKind.FREEZE_UNAUDITED: """
SELECT f.user_id, jsonb_build_object('reason', f.reason) FROM wallet.freezes AS f
WHERE NOT EXISTS (SELECT FROM wallet.audits AS w
  WHERE w.action = 'freeze_wallet' AND w.subject = CAST(f.user_id AS text))""",
    FindingKind.PLAN_UNAUDITED: """
SELECT m.user_id, jsonb_build_object('plan', m.plan) FROM wallet.members AS m
WHERE NOT EXISTS (SELECT FROM wallet.audits AS w WHERE w.action = 'set_plan'
  AND w.subject = CAST(m.user_id AS text) AND w.input->>'plan' = m.plan)""",
    FindingKind.GUARD_DISABLED: """
SELECT g.tgname || ' on ' || c.relname, '{}'::jsonb FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid
WHERE c.relnamespace = 'wallet'::regnamespace AND NOT g.tgisinternal AND g.tgenabled NOT IN ('O', 'A')""",
    FindingKind.GUARD_MISSING: """
SELECT w.name || ' on ' || w.tabled, '{}'::jsonb FROM (VALUES
  ('entries', 'append_only'), ('entries', 'keep_all'), ('transfers', 'append_only'), ('transfers', 'keep_all'),
  ('accounts', 'keep'), ('accounts', 'keep_all'), ('accounts', 'guarded'),
  ('holds', 'keep'), ('holds', 'keep_all'), ('holds', 'guarded'),
  ('prices', 'append_only'), ('quotas', 'append_only'), ('audits', 'append_only'), ('audits', 'keep_all')
) AS w (tabled, name)
WHERE NOT EXISTS (SELECT FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid
  WHERE c.relnamespace = 'wallet'::regnamespace AND c.relname = w.tabled AND g.tgname = w.name)""",
}

_OVERDUE = text("""
SELECT hold_id, user_id, expire_time FROM wallet.holds WHERE state = 'held' AND expire_time < :before ORDER BY hold_id
""")

_HOLDS = text("""
SELECT h.hold_id, h.user_id, h.price_kind, h.amount, h.settled, h.state, h.create_time, h.update_time, h.price_version,
       coalesce(p.steps, '{}') AS steps
FROM wallet.holds AS h LEFT JOIN wallet.prices AS p ON p.kind = h.price_kind AND p.version = h.price_version
WHERE CAST(:after AS uuid) IS NULL OR hold_id > CAST(:after AS uuid) ORDER BY hold_id LIMIT :most
""")

_CLAIM = text("""
INSERT INTO wallet.reconciliations (night, start_time) VALUES (:night, :now)
ON CONFLICT (night) DO UPDATE SET start_time = excluded.start_time
WHERE reconciliations.finish_time IS NULL AND reconciliations.start_time < :stale
RETURNING night
""")

_FINISH = text("""
UPDATE wallet.reconciliations SET finish_time = :now, findings = :findings WHERE night = :night
""")


async def read_long(tx: AsyncConnection) -> None:
    """Let this transaction's statements take minutes: a whole ledger is read."""
    await tx.execute(text("SET LOCAL statement_timeout = '10min'"))


async def differences(tx: AsyncConnection) -> AsyncIterator[Finding]:
    """Yield every difference that the queries find."""
    for kind, query in _CHECKS.items():
        async with tx.stream(_literally(query)) as rows:
            async for subject, facts in rows:
                yield Finding(kind, str(subject), facts)


async def overdue(tx: AsyncConnection, before: datetime) -> list[Finding]:
    """Return the open holds whose date lies before the instant."""
    rows = await tx.execute(_OVERDUE, {"before": before})
    return [
        Finding(
            FindingKind.HOLD_OVERDUE,
            str(row.hold_id),
            {"user": str(row.user_id), "expired": row.expire_time.isoformat()},
            Repair.EXPIRE,
        )
        for row in rows
    ]


async def holds(tx: AsyncConnection, *, after: str, most: int) -> list[HeldCredits]:
    """Return up to `most` holds behind the id `after` (empty for the first), in the order of their ids."""
    return [
        HeldCredits(
            hold_id=str(row.hold_id),
            user_id=str(row.user_id),
            kind=row.price_kind,
            amount=row.amount,
            settled=row.settled,
            state=HoldState(row.state),
            create_time=row.create_time,
            update_time=row.update_time,
            price=Price(row.price_kind, row.amount, row.price_version, steps=tuple(row.steps.items())),
        )
        for row in await tx.execute(_HOLDS, {"after": after or None, "most": most})
    ]


async def claim_night(tx: AsyncConnection, night: date, now: datetime, *, stale: timedelta) -> bool:
    """Say whether the caller is the one to reconcile this night: the first, or one after a run that died."""
    claimed = await tx.execute(_CLAIM, {"night": night, "now": now, "stale": now - stale})
    return claimed.first() is not None


async def finish_night(tx: AsyncConnection, night: date, now: datetime, findings: int) -> None:
    """Write that the night's run has ended, and with how many findings."""
    await tx.execute(_FINISH, {"night": night, "now": now, "findings": findings})


def _literally(query: str) -> TextClause:
    """Return the query with its parts filled in and its colons taken as they are."""
    for name, part in _PARTS.items():
        query = query.replace(name, part)
    return text(query.replace(":", "\\:"))
