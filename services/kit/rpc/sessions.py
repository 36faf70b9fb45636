"""The verifier that every service uses: keys from Auth, revocation from Redis.

This is the kit's one look at a business contract. Identity belongs to every call, and copying
this into five services and the gateway would be worse.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import redis.exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from redis.asyncio import Redis

from cadenza.auth.v1 import session_service_pb2, session_service_pb2_grpc
from services.kit.clock import now
from services.kit.rpc.call import Identity
from services.kit.rpc.channel import Peers
from services.kit.rpc.errors import calling
from services.kit.rpc.key_set import FRESH_S, Published
from services.kit.rpc.tokens import TokenVerifier

_CALL_S: Final = 3.0
_LOCAL_CACHE_S: Final = 2.0
_MOST_CACHED: Final = 10_000
# How exactly a session's last use is known, and for how long: longer than a session lives without a refresh.
_SEEN_EVERY_S: Final = 60.0
_SEEN_KEPT_S: Final = 31 * 24 * 3600


def standard_verifier(peers: Peers, redis: Redis) -> TokenVerifier:
    """Return a verifier with Auth's key set; a session ended anywhere is refused within 2 s."""
    sessions = session_service_pb2_grpc.SessionServiceStub(peers.channel("auth"))

    async def keys() -> Published:
        with calling():
            answer = await sessions.GetKeySet(session_service_pb2.GetKeySetRequest(), timeout=_CALL_S)
        found = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in answer.keys}
        return Published(found, answer.fresh_s or FRESH_S)

    return TokenVerifier(keys, Revocations(sessions, redis).revoked)


def seen_key(session_id: str) -> str:
    """Return where the second of a session's last use is kept in Redis."""
    return f"auth:seen:{session_id}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found of a token, and until when in the loop's time that and the note of its use are good."""

    until: float
    seen_until: float
    ended: bool


class Revocations:
    """Knows which sessions and tokens were ended before their time, and notes when a session was last used."""

    def __init__(self, sessions: "session_service_pb2_grpc.SessionServiceAsyncStub", redis: Redis) -> None:
        """Ask Redis first, Auth when Redis is down."""
        self._sessions = sessions
        self._redis = redis
        self._cache: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def revoked(self, identity: Identity) -> bool:
        """Return whether the session or this token was ended, as of at most 2 s ago.

        When neither Redis nor Auth answers the error of Auth is raised: a call that cannot be
        checked is not let through.
        """
        loop = asyncio.get_running_loop()
        entry = (identity.session_id, identity.token_id)
        known = self._cache.get(entry)
        if known is not None and known.until > loop.time():
            return known.ended
        seen_until = known.seen_until if known is not None else 0.0
        note = seen_until <= loop.time()
        try:
            ended = await self._ask(identity, note=note)
            seen_until = loop.time() + _SEEN_EVERY_S if note else seen_until
        except (redis.exceptions.RedisError, OSError):
            ended = not await self._is_open(identity.session_id)
        self._cache[entry] = _Known(loop.time() + _LOCAL_CACHE_S, seen_until, ended=ended)
        self._cache.move_to_end(entry)
        while len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        return ended

    async def _ask(self, identity: Identity, *, note: bool) -> bool:
        """Return whether Redis knows an end of either; with `note` the session is seen now, in the same round trip."""
        marks = (f"auth:revoked:{identity.session_id}", f"auth:revoked:{identity.token_id}")
        if not note:
            return bool(await self._redis.exists(*marks))
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(*marks)
        pipe.set(seen_key(identity.session_id), int(now().timestamp()), ex=_SEEN_KEPT_S)
        found, _ = await pipe.execute()
        return bool(found)

    async def _is_open(self, session_id: str) -> bool:
        request = session_service_pb2.CheckSessionRequest(session_id=session_id)
        with calling():
            answer = await self._sessions.CheckSession(request, timeout=_CALL_S)
        return answer.open
