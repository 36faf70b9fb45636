"""Ways of bending the books by a superuser's hand, each with the name under which it must be found."""

from services.wallet.domain.reconciliation import FindingKind

# Words for what the corruptions reach for.
_SPENT = "(SELECT hold_id FROM wallet.holds WHERE state = 'settled')"
_BACK = "(SELECT hold_id FROM wallet.holds WHERE state = 'released' ORDER BY hold_id LIMIT 1)"
_OPEN = "(SELECT hold_id FROM wallet.holds WHERE state = 'held')"
_ENTRY = (
    "(SELECT e.entry_id FROM wallet.entries e JOIN wallet.accounts a USING (account_id)"
    " WHERE a.kind = 'user' AND e.version = 2 ORDER BY e.entry_id LIMIT 1)"
)
_USER = "(SELECT account_id FROM wallet.accounts WHERE kind = 'user' AND version > 3)"
_GRANT = "(SELECT transfer_id FROM wallet.transfers WHERE operation = 'grant' ORDER BY transfer_id LIMIT 1)"
_HELD = "(SELECT transfer_id FROM wallet.transfers WHERE operation = 'hold' ORDER BY transfer_id LIMIT 1)"
_STATE = "UPDATE composer.jobs SET state = '{}', lease_expire_time = NULL WHERE job_id = {}"
_NOBODY = "'018f0000-0000-7000-8000-00000000dead'"
_F = FindingKind

CORRUPTIONS: dict[str, tuple[FindingKind, list[str]]] = {
    "entry amount": (_F.ENTRY_CHANGED, [f"UPDATE wallet.entries SET amount = amount - 1 WHERE entry_id = {_ENTRY}"]),
    "entry balance": (
        _F.ENTRY_CHANGED,
        [f"UPDATE wallet.entries SET balance_after = balance_after + 1 WHERE entry_id = {_ENTRY}"],
    ),
    "entry hash": (_F.ENTRY_CHANGED, [f"UPDATE wallet.entries SET hash = sha256('x') WHERE entry_id = {_ENTRY}"]),
    "entry previous hash": (
        _F.ENTRY_CHANGED,
        [f"UPDATE wallet.entries SET previous_hash = sha256('x') WHERE entry_id = {_ENTRY}"],
    ),
    "entry id": (_F.ENTRY_CHANGED, [f"UPDATE wallet.entries SET entry_id = {_NOBODY} WHERE entry_id = {_ENTRY}"]),
    "entry version": (_F.ENTRY_CHANGED, [f"UPDATE wallet.entries SET version = 99 WHERE entry_id = {_ENTRY}"]),
    "entry time": (
        _F.ENTRY_MISDATED,
        [f"UPDATE wallet.entries SET create_time = create_time + interval '1 s' WHERE entry_id = {_ENTRY}"],
    ),
    "entry time in the chain": (
        _F.ENTRY_CHANGED,
        [f"UPDATE wallet.entries SET create_time = create_time + interval '1 us' WHERE entry_id = {_ENTRY}"],
    ),
    "entry of another transfer": (
        _F.TRANSFER_UNBALANCED,
        [f"UPDATE wallet.entries SET transfer_id = {_GRANT} WHERE entry_id = {_ENTRY}"],
    ),
    "entry of no transfer": (
        _F.ENTRY_WITHOUT_TRANSFER,
        [f"UPDATE wallet.entries SET transfer_id = {_NOBODY} WHERE entry_id = {_ENTRY}"],
    ),
    "entry of no account": (
        _F.ENTRY_WITHOUT_ACCOUNT,
        [f"UPDATE wallet.entries SET account_id = {_NOBODY} WHERE entry_id = {_ENTRY}"],
    ),
    "entry deleted": (_F.ENTRY_CHANGED, [f"DELETE FROM wallet.entries WHERE entry_id = {_ENTRY}"]),
    "last entry deleted": (
        _F.ACCOUNT_VERSION_WRONG,
        [
            (
                f"DELETE FROM wallet.entries WHERE account_id = {_USER} AND version ="
                f" (SELECT version FROM wallet.accounts WHERE account_id = {_USER})"
            )
        ],
    ),
    "transfer without entries": (
        _F.TRANSFER_EMPTY,
        [f"DELETE FROM wallet.entries WHERE transfer_id = {_GRANT}"],
    ),
    "transfer deleted": (_F.ENTRY_WITHOUT_TRANSFER, [f"DELETE FROM wallet.transfers WHERE transfer_id = {_GRANT}"]),
    "transfer of somebody else": (
        _F.TRANSFER_MISDIRECTED,
        [f"UPDATE wallet.transfers SET user_id = {_NOBODY} WHERE transfer_id = {_GRANT}"],
    ),
    "transfer renamed": (
        _F.TRANSFER_KIND_WRONG,
        [f"UPDATE wallet.transfers SET kind = 'signup_grant' WHERE transfer_id = {_HELD}"],
    ),
    "answer available": (
        _F.ANSWER_WRONG,
        [f"UPDATE wallet.transfers SET answer = jsonb_set(answer, '{{available}}', '7') WHERE transfer_id = {_HELD}"],
    ),
    "answer held": (
        _F.ANSWER_WRONG,
        [f"UPDATE wallet.transfers SET answer = jsonb_set(answer, '{{held}}', '7') WHERE transfer_id = {_HELD}"],
    ),
    "account balance": (
        _F.ACCOUNT_BALANCE_WRONG,
        [f"UPDATE wallet.accounts SET balance = balance + 1 WHERE account_id = {_USER}"],
    ),
    "credits from nowhere": (
        _F.BOOKS_UNBALANCED,
        [f"UPDATE wallet.accounts SET balance = balance + 1 WHERE account_id = {_USER}"],
    ),
    "account version": (
        _F.ACCOUNT_VERSION_WRONG,
        [f"UPDATE wallet.accounts SET version = version + 1 WHERE account_id = {_USER}"],
    ),
    "account hash": (
        _F.ACCOUNT_HASH_WRONG,
        [f"UPDATE wallet.accounts SET last_hash = sha256('x') WHERE account_id = {_USER}"],
    ),
    "account below zero": (
        _F.ACCOUNT_OVERDRAWN,
        [
            "ALTER TABLE wallet.accounts DROP CONSTRAINT ck_accounts_not_overdrawn",
            f"UPDATE wallet.accounts SET balance = -1 WHERE account_id = {_USER}",
        ],
    ),
    "account missing": (
        _F.ACCOUNT_INCOMPLETE,
        ["DELETE FROM wallet.accounts WHERE kind = 'user_held' AND version = 0"],
    ),
    "hold amount": (_F.HOLD_AMOUNT_WRONG, [f"UPDATE wallet.holds SET amount = 19 WHERE hold_id = {_BACK}"]),
    "open hold amount": (_F.HELD_SUM_WRONG, [f"UPDATE wallet.holds SET amount = 19 WHERE hold_id = {_OPEN}"]),
    "hold owner": (_F.HOLD_OWNER_WRONG, [f"UPDATE wallet.holds SET user_id = {_NOBODY} WHERE hold_id = {_SPENT}"]),
    "hold owner against the job": (
        _F.JOB_OWNER_DIFFERS,
        [f"UPDATE wallet.holds SET user_id = {_NOBODY} WHERE hold_id = {_SPENT}"],
    ),
    "hold kind": (_F.JOB_KIND_DIFFERS, [f"UPDATE wallet.holds SET price_kind = 'lyrics' WHERE hold_id = {_SPENT}"]),
    "hold price version": (
        _F.HOLD_PRICE_WRONG,
        [f"UPDATE wallet.holds SET price_version = 9 WHERE hold_id = {_SPENT}"],
    ),
    "price amount": (
        _F.HOLD_PRICE_WRONG,
        ["UPDATE wallet.prices SET amount = 21 WHERE kind = 'music' AND version = 1"],
    ),
    "hold deleted": (_F.TRANSFER_WITHOUT_HOLD, [f"DELETE FROM wallet.holds WHERE hold_id = {_SPENT}"]),
    "hold of a living job deleted": (_F.JOB_WITHOUT_HOLD, [f"DELETE FROM wallet.holds WHERE hold_id = {_OPEN}"]),
    "open hold deleted": (_F.HELD_SUM_WRONG, [f"DELETE FROM wallet.holds WHERE hold_id = {_OPEN}"]),
    "hold invented": (
        _F.HOLD_WITHOUT_TRANSFER,
        [
            (
                "INSERT INTO wallet.holds (hold_id, user_id, price_kind, amount, state) SELECT"
                f" {_NOBODY}, user_id, 'music', 20, 'released' FROM wallet.holds LIMIT 1"
            )
        ],
    ),
    "hold reopened": (
        _F.HOLD_NOT_ENDED,
        [f"UPDATE wallet.holds SET state = 'held', settled = 0 WHERE hold_id = {_SPENT}"],
    ),
    "hold closed by hand": (
        _F.HOLD_END_UNRECORDED,
        [f"UPDATE wallet.holds SET state = 'released' WHERE hold_id = {_OPEN}"],
    ),
    "hold closed under its job": (
        _F.JOB_ALIVE_UNPAID,
        [f"UPDATE wallet.holds SET state = 'released' WHERE hold_id = {_OPEN}"],
    ),
    "hold released instead of settled": (
        _F.HOLD_END_WRONG,
        [f"UPDATE wallet.holds SET state = 'released', settled = 0 WHERE hold_id = {_SPENT}"],
    ),
    "hold settled instead of released": (
        _F.HOLD_END_WRONG,
        [f"UPDATE wallet.holds SET state = 'settled' WHERE hold_id = {_BACK}"],
    ),
    "hold ended twice": (
        _F.HOLD_ENDED_TWICE,
        [
            (
                "INSERT INTO wallet.transfers SELECT gen_random_uuid(), 'expire', request_id, 'expire', user_id,"
                " input_hash, answer, description, reference_id, create_time"
                " FROM wallet.transfers WHERE operation = 'settle'"
            )
        ],
    ),
    "settled amount": (_F.HOLD_SETTLED_WRONG, [f"UPDATE wallet.holds SET settled = 19 WHERE hold_id = {_SPENT}"]),
    "hold overdue": (
        _F.HOLD_OVERDUE,
        [f"UPDATE wallet.holds SET expire_time = now() - interval '1 d' WHERE hold_id = {_OPEN}"],
    ),
    "job of an open hold deleted": (_F.HOLD_WITHOUT_JOB, [f"DELETE FROM composer.jobs WHERE job_id = {_OPEN}"]),
    "job of a settled hold deleted": (_F.SPENT_WITHOUT_JOB, [f"DELETE FROM composer.jobs WHERE job_id = {_SPENT}"]),
    "job refunded": (
        _F.JOB_DONE_UNPAID,
        [_STATE.format("completed", _BACK)],
    ),
    "cancelled job charged": (_F.JOB_CANCELLED_MISCHARGED, [_STATE.format("cancelled", _SPENT)]),
    "failed job charged": (_F.JOB_FAILED_CHARGED, [_STATE.format("failed", _SPENT)]),
    "job ended silently": (_F.JOB_ENDED_WITHOUT_MESSAGE, [_STATE.format("failed", _OPEN)]),
    "message vanished": (
        _F.JOB_ENDED_WITHOUT_MESSAGE,
        [
            _STATE.format("completed", _OPEN),
            f"DELETE FROM composer.outbox WHERE key = CAST({_SPENT} AS text)",
        ],
    ),
    "message marked as delivered": (
        _F.JOB_ENDED_HOLD_OPEN,
        [
            _STATE.format("completed", _OPEN),
            f"UPDATE composer.outbox SET key = CAST({_OPEN} AS text) WHERE key = CAST({_SPENT} AS text)",
        ],
    ),
    "message stuck": (
        _F.MESSAGE_STUCK,
        [
            _STATE.format("completed", _OPEN),
            (
                f"UPDATE composer.outbox SET key = CAST({_OPEN} AS text), done_time = NULL"
                f" WHERE key = CAST({_SPENT} AS text)"
            ),
        ],
    ),
    "message says the opposite": (
        _F.MESSAGE_WRONG,
        [f"UPDATE composer.outbox SET topic = 'release' WHERE key = CAST({_SPENT} AS text)"],
    ),
    "job of somebody else": (
        _F.JOB_OWNER_DIFFERS,
        [f"UPDATE composer.jobs SET user_id = {_NOBODY} WHERE job_id = {_SPENT}"],
    ),
    "job of another kind": (
        _F.JOB_KIND_DIFFERS,
        [f"UPDATE composer.jobs SET kind = 'lyrics' WHERE job_id = {_SPENT}"],
    ),
    "song of another price": (
        _F.JOB_COST_DIFFERS,
        [f"UPDATE composer.tracks SET cost_credits = 19 WHERE job_id = {_SPENT}"],
    ),
    "price version missing": (
        _F.PRICE_VERSION_MISSING,
        ["DELETE FROM wallet.prices WHERE kind = 'music' AND version = 1"],
    ),
    "price misordered": (
        _F.PRICE_MISORDERED,
        ["UPDATE wallet.prices SET valid_from = '1999-01-01' WHERE kind = 'music' AND version = 2"],
    ),
    "price slipped in": (
        _F.PRICE_UNAUDITED,
        ["INSERT INTO wallet.prices (kind, version, amount) VALUES ('lyrics', 2, 1)"],
    ),
    "quota version missing": (
        _F.QUOTA_VERSION_MISSING,
        ["UPDATE wallet.quotas SET version = 3 WHERE plan = 'free' AND kind = 'music'"],
    ),
    "adjustment unaudited": (
        _F.ADJUSTMENT_UNAUDITED,
        ["DELETE FROM wallet.audits WHERE action = 'adjust_balance'"],
    ),
    "audit invented": (
        _F.AUDIT_WITHOUT_ADJUSTMENT,
        [
            (
                "INSERT INTO wallet.audits SELECT gen_random_uuid(), action, 'other', subject, operator_id, reason,"
                " input, input_hash, answer, create_time FROM wallet.audits WHERE action = 'adjust_balance'"
            )
        ],
    ),
    "freeze unaudited": (_F.FREEZE_UNAUDITED, ["DELETE FROM wallet.audits WHERE action = 'freeze_wallet'"]),
    "plan slipped in": (_F.PLAN_UNAUDITED, ["UPDATE wallet.members SET plan = 'premium'"]),
    "guard of entries off": (_F.GUARD_DISABLED, ["ALTER TABLE wallet.entries DISABLE TRIGGER append_only"]),
    "guard of holds off": (_F.GUARD_DISABLED, ["ALTER TABLE wallet.holds DISABLE TRIGGER ALL"]),
    "guard of transfers gone": (_F.GUARD_MISSING, ["DROP TRIGGER append_only ON wallet.transfers"]),
    "guard of accounts gone": (_F.GUARD_MISSING, ["DROP TRIGGER guarded ON wallet.accounts"]),
}
