"""The worker's end of RQ's queues: waiting for a pointer, and looking like a worker of RQ meanwhile.

A pointer says that there is work; while Redis is away there are none, and the worker looks at the
rows by itself.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from services.kit.jobs.pointers import pointer_key, queue_key

_log = logging.getLogger(__name__)

_FAULTS = (RedisError, OSError)
# While Redis is away the rows are looked at this often.
_LOOK_S = 0.25
_REST_S = 1.0
_SHORTEST_WAIT_S = 0.01
_STALE = 200
_HEARTBEAT_S = 10.0
_WORKER_TTL_S = 30
_ANSWER_S = 3.0


class Hints:
    """Takes pointers out of queues, in the order of the queues' precedence."""

    def __init__(self, redis: Redis, queues: Sequence[str]) -> None:
        """Use the client for blocking reads, so it needs a connection that nobody waits for."""
        self._redis = redis
        self._names = {queue_key(queue): queue for queue in queues}
        self._loop = asyncio.get_running_loop()
        self._away_until = 0.0
        self._left_until: dict[str, float] = {}
        self._spent: list[str] = []

    async def take(self, wait_s: float) -> str | None:
        """Return the queue that a pointer was taken from; None when none came in time or Redis is away."""
        if self._loop.time() < self._away_until:
            await asyncio.sleep(min(wait_s, _LOOK_S))
            return None
        keys, wait_s = self._asked(wait_s)
        if not keys:
            await asyncio.sleep(wait_s)
            return None
        try:
            if self._spent:
                # Not when the pointer comes, because a job waits for that.
                await self._redis.unlink(*self._spent)
                self._spent.clear()
            if not wait_s:
                return await self._take_waiting(keys)
            found = await self._redis.blpop(keys, timeout=wait_s)
            if found is None:
                return None
            self._spent.append(pointer_key(str(found[1])))
            return self._names[str(found[0])]
        except _FAULTS as error:
            self._rest(error)
            return None

    async def drop_stale(self, queue: str) -> bool:
        """Take further pointers out of a queue that has no due rows; return whether there were any.

        One of them may be newer than the look at the rows, so look again when there were.
        """
        try:
            dropped = await self._redis.lpop(queue_key(queue), _STALE) or []
        except _FAULTS as error:
            self._rest(error)
            return False
        self._spent += [pointer_key(str(each)) for each in dropped]
        return bool(dropped)

    def leave(self, queue: str, for_s: float) -> None:
        """Take no pointer out of the queue for so many seconds; a wait that is longer ends with them."""
        self._left_until[queue] = self._loop.time() + for_s

    def _asked(self, wait_s: float) -> tuple[list[str], float]:
        """Return the lists to take from, and the wait until one more may be, if that is the shorter one."""
        at = self._loop.time()
        self._left_until = {queue: until for queue, until in self._left_until.items() if until > at}
        keys = [key for key, queue in self._names.items() if queue not in self._left_until]
        # Not shorter than what the server counts in, because zero means for ever there.
        again_s = max(min(self._left_until.values(), default=at + wait_s) - at, _SHORTEST_WAIT_S)
        return keys, min(wait_s, again_s)

    async def _take_waiting(self, keys: Sequence[str]) -> str | None:
        for key in keys:
            pointer = await self._redis.lpop(key)
            if pointer is not None:
                self._spent.append(pointer_key(str(pointer)))
                return self._names[key]
        return None

    def _rest(self, error: BaseException) -> None:
        self._away_until = self._loop.time() + _REST_S
        _log.warning("no hints for a while, redis does not answer: %r", error)


async def appear(name: str, queues: Sequence[str], redis_url: str) -> None:
    """Be seen by `rq info` and RQ's dashboards as a worker of these queues until cancelled."""
    presence = _Presence(name, queues, redis_url)
    beat: asyncio.Task[None] | None = None
    try:
        while True:
            beat = asyncio.create_task(asyncio.to_thread(presence.beat))
            await asyncio.shield(beat)
            await asyncio.sleep(_HEARTBEAT_S)
    finally:
        # A thread cannot be cancelled: what it writes must be there before it is taken back.
        if beat is not None:
            await asyncio.wait({beat}, timeout=_ANSWER_S)
        await asyncio.to_thread(presence.end)


class _Presence:
    """What RQ knows of this process, written with RQ's own client, which is synchronous."""

    def __init__(self, name: str, queues: Sequence[str], redis_url: str) -> None:
        self._name = name
        self._queues = list(queues)
        self._client = sync_redis.Redis.from_url(redis_url, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S)
        self._worker: Any = None

    def beat(self) -> None:
        """Say that this worker is there, and who it is if the server has forgotten."""
        try:
            if self._worker is None:
                self._worker = SimpleWorker(
                    self._queues,
                    name=self._name,
                    connection=self._client,
                    serializer=JSONSerializer,
                    worker_ttl=_WORKER_TTL_S,
                )
            if not self._client.exists(self._worker.key):
                self._worker.register_birth()
            self._worker.heartbeat(_WORKER_TTL_S)
        except _FAULTS as error:
            _log.info("not seen as a worker, redis does not answer: %r", error)

    def end(self) -> None:
        """Say that this worker is gone."""
        try:
            if self._worker is not None:
                self._worker.register_death()
        except _FAULTS as error:
            _log.info("the end of this worker was not told to redis: %r", error)
        finally:
            self._client.close()
