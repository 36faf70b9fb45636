"""Under which id WeChat knows a user, asked of Auth, which keeps it sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cadenza.auth.v1.user_service_pb2 import FindOpenIdRequest
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from cadenza.auth.v1.user_service_pb2_grpc import UserServiceAsyncStub

_AUTH_S = 3.0


class OpenIds:
    """Asks Auth, each time anew: an identity can be taken off, and what it was must not be used after that."""

    def __init__(self, users: UserServiceAsyncStub) -> None:
        self._users = users

    async def __call__(self, user_id: str) -> str:
        """Return the open id, empty for a user who never came from WeChat; raises RemoteError."""
        with calling():
            return (await self._users.FindOpenId(FindOpenIdRequest(user_id=user_id), timeout=_AUTH_S)).open_id
