"""Codes: sent to whoever asks, proven by whoever reads them, spent with what they were proven for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import code as rules
from services.auth.domain.code import CodeRules, Purpose, Sent, Verdict
from services.auth.domain.errors import CodeExpired, CodeInvalid, MessageNotSent
from services.auth.domain.pepper import Pepper
from services.auth.domain.session import Origin
from services.auth.domain.target import Target
from services.auth.storage import code as storage
from services.auth.usecases.message import Messages
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import RateLimited
from services.kit.ids import new_id

_KEPT = timedelta(days=2)


@dataclass(frozen=True)
class OnItsWay:
    """A code that is being sent; the code itself is nowhere."""

    code_id: str
    expire_time: datetime
    expires_in_s: int
    resend_in_s: int


@dataclass(frozen=True)
class Proof:
    """That a target's owner showed a code, not spent yet."""

    code_id: str
    target: Target


class Codes:
    """All codes."""

    def __init__(
        self, db: Database, messages: Messages, pepper: Pepper, clock: Clock, *, figures: CodeRules,
        kick: Callable[[], None],
    ) -> None:  # fmt: skip
        """Keep the collaborators; `kick` makes the outbox look at once."""
        self._db = db
        self._messages = messages
        self._pepper = pepper
        self._clock = clock
        self._figures = figures
        self._kick = kick

    async def send(
        self, target: Target, purpose: Purpose, origin: Origin, *, user_id: str = "", english: bool = False
    ) -> OnItsWay:
        """Promise a code; what it is bound to is target, purpose and, to bind, the person.

        Does the same whether or not an account knows the target. Raises RateLimited, and MessageNotSent when nothing
        carries messages of that kind.
        """
        if not self._messages.carries(target.channel):
            raise MessageNotSent("no carrier is configured", channel=target.channel.value, cause="not_configured")
        code, code_id, at = rules.new_code(), new_id(), self._clock()
        place = self._target_hash(target)
        address = self._pepper.hash("address", origin.address)
        code_hash = self._pepper.hash("code", *_bound(code_id, target, purpose, user_id), code)
        sent = Sent(code_id, code_hash, 0, at + self._figures.life)
        async with self._db.transaction() as tx:
            await storage.lock(tx, place, address)
            recent = await storage.recent(
                tx, target_hash=place, address_hash=address if origin.address else None, since=at - rules.DAY
            )
            wait_s = rules.wait_s(recent, self._figures, at)
            if wait_s:
                raise RateLimited("a code was sent a short while ago", retry_after_s=wait_s)
            await storage.add(tx, sent, purpose=purpose, target_hash=place, address_hash=address, at=at)
            await self._messages.promise_code(
                tx, target, code, message_id=code_id, purpose=purpose, life=self._figures.life, english=english
            )
        self._kick()
        life_s, gap_s = int(self._figures.life.total_seconds()), int(self._figures.gap.total_seconds())
        return OnItsWay(code_id, sent.expire_time, life_s, gap_s)

    async def prove(self, target: Target, purpose: Purpose, code: str, *, user_id: str = "") -> Proof:
        """Return the proof that a code is the newest one sent to the target for this; each call is one of its tries.

        Raises CodeInvalid and CodeExpired.
        """
        return Proof((await self._judged(target, purpose, code, user_id=user_id, free=False)).code_id, target)

    async def look(self, target: Target, purpose: Purpose, code: str, *, user_id: str = "") -> tuple[datetime, int]:
        """Return when a code that is right ends, and in how many seconds, and leave it good.

        A wrong one is one of its tries. Raises CodeInvalid and CodeExpired.
        """
        ends = (await self._judged(target, purpose, code, user_id=user_id, free=True)).expire_time
        return ends, int((ends - self._clock()).total_seconds())

    async def _judged(self, target: Target, purpose: Purpose, code: str, *, user_id: str, free: bool) -> Sent:
        """Return the code as it was sent if this is it; looked at for free, only a wrong one counts as a try."""
        at = self._clock()
        async with self._db.transaction() as tx:
            sent = await storage.lock_newest(
                tx, self._pepper.hashes("target", target.address), purpose, since=at - rules.DAY
            )
            if sent is not None:
                matches = self._pepper.matches(
                    sent.code_hash, "code", *_bound(sent.code_id, target, purpose, user_id), code
                )
                verdict = rules.judge(sent, at, matches=matches)
                if not free or verdict is not Verdict.GOOD:
                    await storage.count_try(tx, sent.code_id)
        if sent is None or verdict is Verdict.WRONG:
            raise CodeInvalid("the code is not right")
        if verdict is Verdict.OVER:
            raise CodeExpired("the code has run out")
        return sent

    async def spend(self, tx: AsyncConnection, proof: Proof) -> None:
        """Use a proof up in the transaction of what it was shown for; CodeInvalid when somebody was faster."""
        if not await storage.spend(tx, proof.code_id, at=self._clock()):
            raise CodeInvalid("the code was used before")

    async def purge(self) -> int:
        """Return how many codes of more than two days ago were removed."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, before=self._clock() - _KEPT)

    def _target_hash(self, target: Target) -> bytes:
        return self._pepper.hash("target", target.address)


def _bound(code_id: str, target: Target, purpose: Purpose, user_id: str) -> tuple[str, ...]:
    """Return what a code is bound to: shown for anything else, it is a wrong code."""
    return code_id, target.address, purpose.value, user_id if purpose in rules.PERSONAL else ""
