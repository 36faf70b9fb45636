"""Counts in a sliding window, shared by all gateways through Redis.

A window of a minute is the sum of its sixty seconds and the one that is running, so at no moment do more requests than
the limit lie within any sixty seconds, and a refused client waits at most a second longer than it must. One script
adds the sum up and takes from it, by the clock of Redis, so two gateways cannot both take the last place.

Requests of one client that wait for an answer are asked for together. A process that hears much from one takes places
ahead and spends them within a second: a quarter of what it heard in the second before or half of what it has heard in
this one, and no more than a twentieth of what is left, so near the limit only what is there is asked for, and the
count is exact. What is not spent is handed back. Without Redis each process counts alone,
in the same way.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

_log = logging.getLogger(__name__)

_PARTS: Final = 60  # of a window, each counted by itself
_SHARE: Final = 20
_LEASE_S: Final = 1.0
_REFUSED_S: Final = 0.1  # for so long a refusal is given again without asking
_ANSWER_S: Final = 0.5
_PAUSE_S: Final = 5.0
_MOST_KEYS: Final = 50_000
_MOST_AT_ONCE: Final = 64

# KEYS[1] holds counts by part. ARGV: limit, places wanted, seconds of a part, places handed back, and their part.
_TAKE: Final = """
local part = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[3]))
if tonumber(ARGV[4]) > 0 and redis.call('HEXISTS', KEYS[1], ARGV[5]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[5], -tonumber(ARGV[4]))
end
local parts, sum, oldest = redis.call('HGETALL', KEYS[1]), 0, part
for place = 1, #parts, 2 do
  local when, count = tonumber(parts[place]), tonumber(parts[place + 1])
  if when < part - 60 or count <= 0 then
    redis.call('HDEL', KEYS[1], parts[place])
  else
    sum = sum + count
    if when < oldest then oldest = when end
  end
end
local granted = math.max(math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - sum), 0)
if granted > 0 then
  redis.call('HINCRBY', KEYS[1], part, granted)
  redis.call('EXPIRE', KEYS[1], 62 * tonumber(ARGV[3]))
end
return {granted, sum + granted, part, oldest}
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """How many requests one client may make within a window."""

    name: str
    limit: int
    window_s: int = 60

    @property
    def part_s(self) -> int:
        """Return the seconds that are counted as one."""
        return max(self.window_s // _PARTS, 1)


class Standing(NamedTuple):
    """Where a client stands with one rule."""

    rule: Rule
    remaining: int
    reset_s: int  # until the oldest of its requests leaves the window
    allowed: bool

    @property
    def tightness(self) -> tuple[bool, float]:
        """Return what orders standings, the tightest first."""
        return self.allowed, self.remaining / self.rule.limit


@dataclass(slots=True)
class _Lease:
    """Places that this process has taken for a client and not spent yet."""

    left: int = 0
    part: int = 0  # of the window, in which they were taken
    until: float = 0.0
    total: int = 0  # of the window when last asked
    reset_s: int = 0
    refused_until: float = 0.0
    began: float = 0.0
    heard: int = 0  # requests since then
    pace: int = 0  # requests in the second before
    waiting: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def hear(self, now: float) -> None:
        """Note one more request."""
        if now - self.began >= _LEASE_S:
            self.pace = self.heard if now - self.began < 2 * _LEASE_S else 0
            self.began, self.heard = now, 0
        self.heard += 1

    def spend(self, now: float) -> bool | None:
        """Return whether the request may go on, or None when that must be asked."""
        if self.left > 0 and now < self.until:
            self.left -= 1
            return True
        return False if now < self.refused_until else None


@dataclass(slots=True)
class _Counts:
    """The parts of one client's window, for a process that counts alone."""

    parts: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Question:
    """What is asked of Redis for one client."""

    key: str
    arguments: tuple[int, ...]
    answer: asyncio.Future[tuple[int, ...]]

    def told(self, answer: Any) -> None:
        """Hand the answer, or the error, to whoever waits for it; it may have gone."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(tuple(int(each) for each in answer))


class RateWindows:
    """The windows of all clients."""

    def __init__(self, client: Redis | None, clock: Callable[[], float] = time.time) -> None:
        """Count in Redis, or alone without a client; `clock` tells seconds for counting alone."""
        self._redis = None if client is None else _Together(client)
        self._clock = clock
        self._leases: dict[tuple[str, str, int], _Lease] = {}
        self._alone: dict[tuple[str, str], _Counts] = {}
        self._silent_until = 0.0

    async def take(self, rule: Rule, key: str) -> Standing:
        """Return whether one more request fits into the client's window, having counted it."""
        if len(self._leases) > _MOST_KEYS:
            self._leases.clear()  # what was taken and not spent stays counted, which errs on the strict side
        lease = self._leases.setdefault((rule.name, key, rule.limit), _Lease())
        lease.hear(time.monotonic())
        allowed = lease.spend(time.monotonic())
        if allowed is None:
            lease.waiting += 1
            try:
                # One question at a time for each client: those who wait meanwhile are asked for together.
                async with lease.asking:
                    allowed = lease.spend(time.monotonic())
                    if allowed is None:
                        allowed = await self._ask(rule, key, lease)
            finally:
                lease.waiting -= 1
        return Standing(rule, max(rule.limit - lease.total, 0) + max(lease.left, 0), lease.reset_s, allowed)

    async def _ask(self, rule: Rule, key: str, lease: _Lease) -> bool:
        """Take places, handing back those that were not spent in time; return whether one was granted."""
        back, lease.left = lease.left, 0
        ahead = min(max(lease.pace // 4, lease.heard // 2), (rule.limit - lease.total) // _SHARE)
        answer = await self._shared(rule, key, max(lease.waiting, ahead, 1), back=back, part=lease.part)
        shared = answer is not None
        granted, lease.total, lease.part, oldest = answer or self._by_itself(rule, key)
        lease.reset_s = max((oldest + _PARTS + 1 - lease.part) * rule.part_s, 1)
        now = time.monotonic()
        lease.left, lease.until = max(granted - 1, 0), now + _LEASE_S
        lease.refused_until = now + _REFUSED_S if shared and not granted else 0.0
        return granted > 0

    async def _shared(self, rule: Rule, key: str, wanted: int, *, back: int, part: int) -> tuple[int, ...] | None:
        """Return what Redis says: places granted, the sum, the part that is running, the oldest; None without it."""
        if self._redis is None or time.monotonic() < self._silent_until:
            return None
        try:
            return await self._redis.ask(f"rw:{rule.name}:{key}", (rule.limit, wanted, rule.part_s, back, part))
        except (RedisError, TimeoutError, OSError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            _log.warning("this process counts requests alone for %g s: %s", _PAUSE_S, type(error).__name__)
            return None

    def _by_itself(self, rule: Rule, key: str) -> tuple[int, int, int, int]:
        """Count one request of this process, in the way the script does."""
        if len(self._alone) > _MOST_KEYS:
            del self._alone[next(iter(self._alone))]
        parts = self._alone.setdefault((rule.name, key), _Counts()).parts
        part = int(self._clock()) // rule.part_s
        for when in [each for each in parts if each < part - _PARTS]:
            del parts[when]
        total = sum(parts.values())
        granted = int(total < rule.limit)
        if granted:
            parts[part] = parts.get(part, 0) + 1
        return granted, total + granted, part, min(parts, default=part)


class _Together:
    """Asks Redis for all clients that wait in one round trip: alone each would cost as much as a small request does."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._name = hashlib.sha1(_TAKE.encode()).hexdigest()  # noqa: S324  # Redis names scripts so
        self._waiting: list[_Question] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, key: str, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Return what the script answers; RedisError, TimeoutError or OSError when there is no answer in time."""
        question = _Question(key, arguments, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())
        return await question.answer

    async def _send(self) -> None:
        """Ask until nobody waits; whoever comes while an answer is on its way is asked for with the next ones."""
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        answers = await self._answers(asked)
                except (RedisError, TimeoutError, OSError) as error:
                    # Nor would those have an answer who came meanwhile.
                    asked, self._waiting = [*asked, *self._waiting], []
                    answers = [error] * len(asked)
                for question, answer in zip(asked, answers, strict=True):
                    question.told(answer)
        finally:
            self._sending = None

    async def _answers(self, asked: list[_Question]) -> list[Any]:
        """Return the script's answers or errors in order.

        A pipeline goes out whole or not at all, so a timeout leaves nothing half counted.
        """
        answers = await self._run(asked)
        if any(isinstance(each, NoScriptError) for each in answers):
            # A Redis that was started anew; then none of them has been counted.
            await self._client.script_load(_TAKE)
            answers = await self._run(asked)
        return answers

    async def _run(self, asked: list[_Question]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for each in asked:
                pipe.evalsha(self._name, 1, each.key, *each.arguments)
            return list(await pipe.execute(raise_on_error=False))
