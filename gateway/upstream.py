"""What a failed call to a service means for the client of the gateway."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio

from services.kit.errors import RemoteError
from services.kit.rpc.errors import DETAILS_KEY, from_rpc


@contextmanager
def asking(service: str) -> Iterator[None]:
    """Turn the AioRpcError of a call made inside into the error the client is told."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise upstream_error(error, service=service) from error


def upstream_error(error: grpc.aio.AioRpcError, *, service: str = "") -> RemoteError:
    """Return the error, in the service's words only when the service itself spoke.

    What gRPC says of its own failures names addresses and ports of the mesh, and those are
    nobody's business outside.
    """
    told = from_rpc(error)
    if any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ()):
        return told
    facts = {"service": service} if service else {}
    return RemoteError(told.reason, f"the service answered {error.code().name}", **facts)
