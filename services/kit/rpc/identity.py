"""Who may call: people by their token, services by their certificate, as the contract says."""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final

from cadenza.options.v1 import options_pb2
from services.kit import log, tracing
from services.kit.errors import DomainError, PermissionDenied, Unauthenticated
from services.kit.rpc.call import Around, Call, Identity, call_or_none, is_secured
from services.kit.rpc.sessions import standard_verifier
from services.kit.rpc.tokens import TokenVerifier

__all__ = ["Identity", "TokenVerifier", "current_user", "identity", "standard_verifier"]

ADMIN: Final = "admin"
_SCHEME: Final = "bearer"


def current_user() -> Identity:
    """Return whose token the running call carries; raises Unauthenticated when there is none."""
    call = call_or_none()
    if call is None or call.identity is None:
        raise Unauthenticated("a token is needed")
    return call.identity


class _Identified(Around):
    __slots__ = ("_context", "_verifier")

    def __init__(self, call: Call, verifier: TokenVerifier) -> None:
        super().__init__(call)
        self._verifier = verifier

    async def __aenter__(self) -> None:
        await admit(self.call, self._verifier)
        user = self.call.identity
        self._context = log.context(user_id=user.user_id if user else "")
        self._context.__enter__()
        if user is not None:
            tracing.known_user(user.user_id)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)


def identity(verifier: TokenVerifier) -> Callable[[Call], Around]:
    """Return the concern that checks the caller against the method's `access` option."""
    return partial(_Identified, verifier=verifier)


async def admit(call: Call, verifier: TokenVerifier) -> None:
    """Set `call.identity`, or raise Unauthenticated, AuthExpired or PermissionDenied.

    A service that calls on behalf of a person needs the person's token like anybody else: its
    certificate opens the internal methods that name it, and nothing more.
    """
    method = call.method
    if call.peer is None and is_secured(call.context):
        raise PermissionDenied("the certificate names no service of the mesh")
    if method.internal and call.peer not in method.callers:
        raise PermissionDenied("the method is internal", method=method.path)
    token = bearer_token(call)
    if method.access in {options_pb2.ACCESS_USER, options_pb2.ACCESS_ADMIN}:
        if not token:
            raise Unauthenticated("a token is needed")
        call.identity = await verifier.verify(token)
        if method.access == options_pb2.ACCESS_ADMIN and ADMIN not in call.identity.roles:
            raise PermissionDenied("the method is for administrators")
    elif token and not method.internal:
        call.identity = await _identity_if_any(token, verifier)


def bearer_token(call: Call) -> str:
    """Return the token of the `authorization` entry, empty when there is none."""
    scheme, _, token = call.metadata.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == _SCHEME else ""


async def _identity_if_any(token: str, verifier: TokenVerifier) -> Identity | None:
    """Return whose token it is, or None when it is not good.

    A public method must not fail over a token it does not need: a client whose token has run
    out still has to be able to renew it.
    """
    try:
        return await verifier.verify(token)
    except DomainError:
        return None
