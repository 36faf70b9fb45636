"""WeChat session keys: in Redis only, sealed, gone after three days. Losing them costs one more login."""

from redis.asyncio import Redis

from services.kit.sealing import Sealer

_TTL_S = 3 * 24 * 3600


async def keep(redis: Redis, sealer: Sealer, identity_id: str, session_key: str) -> None:
    """Keep the newest session key of an identity; WeChat has ended the one before."""
    place = f"wx:session_key:{identity_id}"
    await redis.set(place, sealer.seal(session_key.encode(), place), ex=_TTL_S)
