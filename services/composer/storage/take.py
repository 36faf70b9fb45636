"""What was heard in takes: in Redis only, for an hour. Losing it costs hearing a take once more."""

import json
from contextlib import suppress
from dataclasses import asdict

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.composer.domain.take import Hearing

_TTL_S = 3600


def _place(asset_id: str) -> str:
    return f"composer:hearing:{asset_id}"


async def find(redis: Redis, asset_id: str) -> Hearing | None:
    """Return what was heard in the take within the last hour, or None; also when Redis is away."""
    with suppress(RedisError, ValueError, TypeError):
        kept = await redis.get(_place(asset_id))
        return None if kept is None else Hearing(**json.loads(kept))
    return None


async def keep(redis: Redis, asset_id: str, hearing: Hearing) -> None:
    """Keep what was heard in the take; nothing happens when Redis is away."""
    with suppress(RedisError):
        await redis.set(_place(asset_id), json.dumps(asdict(hearing)), ex=_TTL_S)
