"""What RQ holds of a job: a pointer made of service and id, as JSON, and nothing else.

A pointer is only a hint that there is work in its queue; which job a worker then takes, the rows
decide. Losing pointers or having too many is harmless. They are written the way RQ writes them, so
that `rq info` and RQ's dashboards show the queues, but without its client, which is synchronous.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import redis as sync_redis
from redis.asyncio import Redis
from rq import Queue
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now as rq_now

from services.kit.jobs.job import Job
from services.kit.jobs.store import Due

PERFORM = "services.kit.jobs.worker.perform"
_FAILURE_TTL_S = 3600
# A pointer whose list is gone must not stay for ever.
_POINTER_TTL_S = 7 * 86_400
_REFILL_S = 60
_PIPELINE = 500

_PUSH_ONCE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SADD', KEYS[3], KEYS[1])
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('RPUSH', KEYS[1], ARGV[1])
return 1
"""

# RQ's classes ask for a connection to render what they never send.
_NOWHERE = sync_redis.Redis(decode_responses=False)


def pointer_id(service: str, job_id: str, lease_token: int) -> str:
    """Return the pointer's id: one per lease, so a pointer stuck at a dead worker blocks no other."""
    return f"{service}-{job_id}-{lease_token}"


def queue_key(queue: str) -> str:
    """Return the key of RQ's list of this queue."""
    return Queue.redis_queue_namespace_prefix + queue


def pointer_key(pointer: str) -> str:
    """Return the key of what RQ knows about the pointer."""
    return str(RqJob.key_for(pointer))


class Pointers:
    """Pushes pointers to the server of the client, in RQ's format."""

    def __init__(self, redis: Redis) -> None:
        """Use the client; nothing connects yet."""
        self._redis = redis
        self._push_once = redis.register_script(_PUSH_ONCE)

    async def push(self, job: Job, queue: str) -> None:
        """Put the pointer at the queue's end unless it waits there already; raises RedisError."""
        pointer = pointer_id(job.service, job.job_id, job.lease_token)
        fields = _rendered(job.service, queue, job.job_id, pointer)
        keys = [queue_key(queue), pointer_key(pointer), Queue.redis_queues_keys]
        flat = [part for pair in fields.items() for part in pair]
        await self._push_once(keys=keys, args=[pointer, _POINTER_TTL_S, *flat])

    async def count(self, queue: str) -> int:
        """Return how many pointers wait in the queue; raises RedisError."""
        return int(await self._redis.llen(queue_key(queue)))

    async def push_missing(self, service: str, queue: str, due: AsyncIterator[Sequence[Due]]) -> int:
        """Return how many of the due jobs had no pointer in the queue and have one now; raises RedisError.

        One process at a time does this for a queue; the others return 0 at once.
        """
        guard = f"cadenza:refill:{service}:{queue}"
        if not await self._redis.set(guard, b"", nx=True, ex=_REFILL_S):
            return 0
        try:
            present = set(await self._redis.lrange(queue_key(queue), 0, -1))
            pushed = 0
            async for batch in due:
                ids = ((each, pointer_id(service, each.job_id, each.lease_token)) for each in batch)
                missing = [(each, pointer) for each, pointer in ids if pointer not in present]
                for start in range(0, len(missing), _PIPELINE):
                    await self._push_all(service, queue, missing[start : start + _PIPELINE])
                pushed += len(missing)
            return pushed
        finally:
            await self._redis.delete(guard)

    async def _push_all(self, service: str, queue: str, pointers: Iterable[tuple[Due, str]]) -> None:
        """Put pointers at the queue's end in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.sadd(Queue.redis_queues_keys, queue_key(queue))
            names = []
            for due, pointer in pointers:
                key = pointer_key(pointer)
                pipe.hset(key, mapping=_rendered(service, queue, due.job_id, pointer))
                pipe.expire(key, _POINTER_TTL_S)
                names.append(pointer)
            pipe.rpush(queue_key(queue), *names)
            await pipe.execute()


def _rendered(service: str, queue: str, job_id: str, pointer: str) -> dict[Any, Any]:
    """Return the pointer as the fields that RQ keeps of a job."""
    rendered = RqJob.create(
        PERFORM,
        args=(service, job_id),
        id=pointer,
        # The row's deadline is the one that counts; RQ's alarm signal would hit our wait.
        timeout=-1,
        result_ttl=0,
        failure_ttl=_FAILURE_TTL_S,
        description=pointer,
        status=JobStatus.QUEUED,
        origin=queue,
        connection=_NOWHERE,
        serializer=JSONSerializer,
    )
    rendered.enqueued_at = rq_now()
    fields: dict[Any, Any] = rendered.to_dict(include_meta=False, include_result=False)
    return fields
