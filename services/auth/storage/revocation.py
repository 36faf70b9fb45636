"""What verifiers and Auth tell each other of sessions through Redis: which have ended, and when they were used."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from services.kit.rpc.sessions import seen_key


async def publish(redis: Redis, session_id: str, *, ttl: timedelta) -> None:
    """Make every verifier refuse the session's tokens; the mark outlives the last of them."""
    await redis.set(f"auth:revoked:{session_id}", "1", ex=int(ttl.total_seconds()) + 60)


async def last_seen(redis: Redis, session_ids: Sequence[str]) -> dict[str, datetime]:
    """Return when each session was last used, right to a minute; those of which nothing is known are left out."""
    if not session_ids:
        return {}
    found = await redis.mget([seen_key(session_id) for session_id in session_ids])
    return {
        session_id: datetime.fromtimestamp(int(second), UTC)
        for session_id, second in zip(session_ids, found, strict=True)
        if second is not None
    }
