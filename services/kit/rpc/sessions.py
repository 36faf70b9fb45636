"""The verifier that every service uses: keys from Auth, revocation from Redis.

This is the kit's one look at a business contract. Identity belongs to every call, and copying
this into five services and the gateway would be worse.
"""

import asyncio
from collections import OrderedDict
from typing import Final

import redis.exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from redis.asyncio import Redis

from cadenza.auth.v1 import session_service_pb2, session_service_pb2_grpc
from services.kit.rpc.call import Identity
from services.kit.rpc.channel import Peers
from services.kit.rpc.errors import calling
from services.kit.rpc.tokens import Keys, TokenVerifier

_CALL_S: Final = 3.0
_LOCAL_CACHE_S: Final = 2.0
_MOST_CACHED: Final = 10_000


def standard_verifier(peers: Peers, redis: Redis) -> TokenVerifier:
    """Return a verifier with Auth's key set; a session ended anywhere is refused within 2 s."""
    sessions = session_service_pb2_grpc.SessionServiceStub(peers.channel("auth"))

    async def keys() -> Keys:
        with calling():
            answer = await sessions.GetKeySet(session_service_pb2.GetKeySetRequest(), timeout=_CALL_S)
        return {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in answer.keys}

    return TokenVerifier(keys, Revocations(sessions, redis).revoked)


class Revocations:
    """Knows which sessions and tokens were ended before their time."""

    def __init__(self, sessions: "session_service_pb2_grpc.SessionServiceAsyncStub", redis: Redis) -> None:
        """Ask Redis first, Auth when Redis is down."""
        self._sessions = sessions
        self._redis = redis
        self._cache: OrderedDict[tuple[str, str], tuple[float, bool]] = OrderedDict()

    async def revoked(self, identity: Identity) -> bool:
        """Return whether the session or this token was ended, as of at most 2 s ago.

        When neither Redis nor Auth answers the error of Auth is raised: a call that cannot be
        checked is not let through.
        """
        loop = asyncio.get_running_loop()
        entry = (identity.session_id, identity.token_id)
        known = self._cache.get(entry)
        if known is not None and known[0] > loop.time():
            return known[1]
        try:
            found = await self._redis.exists(f"auth:revoked:{identity.session_id}", f"auth:revoked:{identity.token_id}")
            ended = bool(found)
        except (redis.exceptions.RedisError, OSError):
            ended = not await self._is_open(identity.session_id)
        self._cache[entry] = (loop.time() + _LOCAL_CACHE_S, ended)
        self._cache.move_to_end(entry)
        while len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        return ended

    async def _is_open(self, session_id: str) -> bool:
        request = session_service_pb2.CheckSessionRequest(session_id=session_id)
        with calling():
            answer = await self._sessions.CheckSession(request, timeout=_CALL_S)
        return answer.open
