"""What administrators do with wallets, prices and quotas: each act once, in one transaction with its audit line."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import Conflict, IdempotencyKeyReused, ParamInvalid
from services.kit.ids import new_id
from services.wallet.domain import price as price_rules
from services.wallet.domain.audit import Action, AdminAct, Audit, Freeze
from services.wallet.domain.credit import Price
from services.wallet.domain.quota import Plan, Quota
from services.wallet.storage import audit as storage
from services.wallet.storage import credit as credit_storage
from services.wallet.storage import price as price_storage
from services.wallet.storage import quota as quota_storage

_ATTEMPTS = 5

Work = Callable[[AsyncConnection, datetime], Awaitable[dict[str, Any]]]


class _Overtaken(Exception):
    """Another transaction used the same id, or added the same version, while this one was at it."""


class Administration:
    """The acts of administrators."""

    def __init__(self, db: Database, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._clock = clock

    async def freeze(self, operator_id: str, *, request_id: str, user_id: str, reason: str) -> Freeze:
        """Return the freeze of a wallet: from its commit on nothing new is held for its user and nothing granted."""

        async def work(tx: AsyncConnection, at: datetime) -> dict[str, Any]:
            # Waits for the money writes that have begun, so that none of them is decided after this commit.
            await credit_storage.lock_accounts(tx, user_id)
            found = await storage.freeze(tx, user_id, reason, at)
            return {"reason": found.reason, "since": found.freeze_time.isoformat()}

        act = AdminAct(Action.FREEZE_WALLET, request_id, user_id, operator_id, reason, {})
        answer = await self._once(act, work)
        return Freeze(user_id, answer["reason"], datetime.fromisoformat(answer["since"]))

    async def unfreeze(self, operator_id: str, *, request_id: str, user_id: str, reason: str) -> bool:
        """Let a wallet be used again; say whether it was frozen."""

        async def work(tx: AsyncConnection, _at: datetime) -> dict[str, Any]:
            return {"was_frozen": await storage.unfreeze(tx, user_id)}

        act = AdminAct(Action.UNFREEZE_WALLET, request_id, user_id, operator_id, reason, {})
        return bool((await self._once(act, work))["was_frozen"])

    async def set_price(self, operator_id: str, *, request_id: str, price: Price, reason: str) -> Price:
        """Return the next version of a price; it begins now unless the price says when.

        Raises ParamInvalid when it would begin before the version before, or for steps that cost more than the whole.
        """
        kind, begins = price.kind, price.valid_from

        async def work(tx: AsyncConnection, at: datetime) -> dict[str, Any]:
            known = await price_storage.versions(tx, kind)
            following = price_rules.following_version(known, price, begins or at)
            if not await price_storage.add(tx, following):
                raise _Overtaken
            return {"version": following.version, "valid_from": (begins or at).isoformat()}

        values: dict[str, Any] = {"amount": price.amount, "valid_from": None if begins is None else begins.isoformat()}
        if price.steps:
            values["steps"] = dict(price.steps)
        answer = await self._once(AdminAct(Action.SET_PRICE, request_id, kind, operator_id, reason, values), work)
        return replace(price, version=answer["version"], valid_from=datetime.fromisoformat(answer["valid_from"]))

    async def set_quota(self, operator_id: str, *, request_id: str, quota: Quota, reason: str) -> Quota:
        """Return the next version of a limit, which holds from its commit on; ParamInvalid for an unknown kind."""
        plan, kind, limit = quota.plan, quota.kind, quota.limit

        async def work(tx: AsyncConnection, at: datetime) -> dict[str, Any]:
            if not await price_storage.versions(tx, kind):
                raise ParamInvalid.of("kind", "is not in the price table")
            known = await quota_storage.quotas(tx, plan, kind)
            following = Quota(plan, kind, limit, known[0].version + 1 if known else 1)
            if not await quota_storage.add(tx, following, at):
                raise _Overtaken
            return {"version": following.version}

        values = {"plan": plan.value, "limit": limit}
        answer = await self._once(AdminAct(Action.SET_QUOTA, request_id, kind, operator_id, reason, values), work)
        return Quota(plan, kind, limit, answer["version"])

    async def set_plan(self, operator_id: str, *, request_id: str, user_id: str, plan: Plan, reason: str) -> Plan:
        """Return the plan that a user is on from the commit on."""

        async def work(tx: AsyncConnection, at: datetime) -> dict[str, Any]:
            await quota_storage.set_plan(tx, user_id, plan, at)
            return {}

        values = {"plan": plan.value}
        await self._once(AdminAct(Action.SET_PLAN, request_id, user_id, operator_id, reason, values), work)
        return plan

    async def audits(self, *, page_size: int, page_token: str, subject: str) -> tuple[list[Audit], str]:
        """Return a page of audit lines, the newest first, and the token of the next page or an empty one."""
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, before=before, subject=subject, most=size + 1)
        return found[:size], encode_token(found[size - 1].audit_id) if len(found) > size else ""

    async def _once(self, act: AdminAct, work: Work) -> dict[str, Any]:
        """Return the first answer under the act's id, made now if there is none.

        Raises IdempotencyKeyReused when the id stands for other input, and what the work raises.
        """
        for _ in range(_ATTEMPTS):
            try:
                async with self._db.transaction() as tx:
                    earlier = await storage.find_earlier(tx, act.action, act.request_id)
                    if earlier is not None:
                        if earlier.input_hash != act.input_hash:
                            raise IdempotencyKeyReused(
                                "the request id was used with other input", request_id=act.request_id
                            )
                        return earlier.answer
                    at = self._clock()
                    answer = await work(tx, at)
                    await _write(tx, act, answer, at)
                    return answer
            except _Overtaken:
                continue
        raise Conflict("somebody else is doing the same")


async def _write(tx: AsyncConnection, act: AdminAct, answer: dict[str, Any], at: datetime) -> None:
    """Write the act's audit line; _Overtaken when its id was used meanwhile."""
    if not await storage.add(tx, act, answer, audit_id=new_id(), at=at):
        raise _Overtaken
