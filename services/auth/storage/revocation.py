"""The list of sessions ended before their time, in Redis where every verifier looks."""

from datetime import timedelta

from redis.asyncio import Redis


async def publish(redis: Redis, session_id: str, *, ttl: timedelta) -> None:
    """Make every verifier refuse the session's tokens; the mark outlives the last of them."""
    await redis.set(f"auth:revoked:{session_id}", "1", ex=int(ttl.total_seconds()) + 60)
