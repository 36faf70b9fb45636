"""What must reach somebody else because a row was committed: a new user's credits, a session's end.

The message is written to the outbox in the same transaction and sent by its writer right
after the commit, so that the effect is there when the answer is. Whatever fails then is
repeated by the dispatcher. Both receivers take a message twice without doing it twice.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.auth.storage import outbox as storage
from services.auth.storage import revocation
from services.auth.storage.tables import outbox
from services.kit import crash
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.jobs.outbox import Dispatcher, OutboxHandler
from services.kit.jobs.postgres_outbox import PostgresOutbox
from services.kit.rpc.errors import calling

_log = logging.getLogger(__name__)

SIGNUP_GRANT = "signup_grant"
SESSION_REVOKED = "session_revoked"

# A login does not wait longer than this for Wallet, nor a logout for Redis.
_AT_ONCE_S = 1.5
_GRANT_S = 5.0


class Delivery:
    """Sends what the other use cases have promised."""

    def __init__(
        self,
        db: Database,
        wallet: "credit_service_pb2_grpc.CreditServiceAsyncStub",  # the name exists for the type checker only
        redis: Redis,
        clock: Clock,
        *,
        access_ttl: timedelta,
        more: Mapping[str, OutboxHandler] | None = None,
    ) -> None:
        """Keep the collaborators; a revocation is kept as long as an access token may live.

        `more` are the handlers of messages that are promised elsewhere: one dispatcher sends all.
        """
        self._db = db
        self._wallet = wallet
        self._redis = redis
        self._clock = clock
        self._access_ttl = access_ttl
        self._handlers = {SIGNUP_GRANT: self._grant, SESSION_REVOKED: self._revoke, **(more or {})}
        self._outbox = PostgresOutbox(outbox)
        self.dispatcher = Dispatcher(db, self._outbox, self._handlers, clock)

    async def promise_grant(self, tx: AsyncConnection, user_id: str) -> None:
        """Write down that the user is to get the credits of registration."""
        await self._outbox.put(tx, SIGNUP_GRANT, {"user_id": user_id}, key=user_id)

    async def promise_revocation(self, tx: AsyncConnection, session_id: str) -> None:
        """Write down that every verifier is to refuse the session."""
        await self._outbox.put(tx, SESSION_REVOKED, {"session_id": session_id}, key=session_id)

    async def grant_now(self, user_id: str) -> None:
        """Give the promised credits now if Wallet answers in time; never raises."""
        await self._at_once(SIGNUP_GRANT, {"user_id": user_id}, key=user_id)

    async def revoke_now(self, session_id: str) -> None:
        """Publish the promised revocation now if Redis answers in time; never raises."""
        await self._at_once(SESSION_REVOKED, {"session_id": session_id}, key=session_id)

    async def last_seen(self, session_ids: Sequence[str]) -> dict[str, datetime]:
        """Return when verifiers last met each session; nothing while Redis does not answer in time."""
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                return await revocation.last_seen(self._redis, session_ids)
        except (RedisError, OSError) as error:
            _log.warning("when sessions were last used is not known: %r", error)
            return {}

    async def _at_once(self, topic: str, payload: dict[str, Any], *, key: str) -> None:
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                await self._handlers[topic](payload)
                async with self._db.transaction() as tx:
                    await storage.mark_done(tx, topic, key, at=self._clock())
        except Exception as error:  # noqa: BLE001  # the message is safe in the outbox
            _log.warning("%s is left to the outbox: %r", topic, error)
            self.dispatcher.kick()

    async def _grant(self, payload: dict[str, Any]) -> None:
        user_id = payload["user_id"]
        request = credit_service_pb2.GrantRequest(
            request_id=f"signup:{user_id}", user_id=user_id, kind=credit_service_pb2.GRANT_KIND_SIGNUP
        )
        with calling(), crash.around(Act.GRANT_CALL):
            await self._wallet.Grant(request, timeout=_GRANT_S)

    async def _revoke(self, payload: dict[str, Any]) -> None:
        await revocation.publish(self._redis, payload["session_id"], ttl=self._access_ttl)
