"""Every call ends in time, and a little earlier than its caller gives up.

After letsencrypt/boulder, `grpc/interceptors.go`: the server takes a slice off the deadline so
that its own answer, with the reason in it, still arrives before the caller's clock runs out,
and refuses at once what cannot be done in the time left, because half-done work only adds load
to a system that is already slow.
"""

import asyncio
from types import TracebackType
from typing import Final

from services.kit.errors import Expired
from services.kit.rpc.call import Around, Call
from services.kit.rpc.errors import refuse

# The way back: time for the answer to be written, sent and read before the caller hangs up.
RETURN_S: Final = 0.020
# Below this nothing useful can be done: a query and a commit under load take about as long.
LEAST_S: Final = 0.100
# A unary method that says nothing else. Streams live as long as somebody listens.
DEFAULT_S: Final = 10.0


class Deadlines(Around):
    """Concern: the inside is cancelled and the call refused with TIMEOUT when time is up."""

    __slots__ = ("_limit",)

    async def __aenter__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        allowed = allowed_s(self.call)
        if allowed is None:
            return
        if allowed < LEAST_S:
            await refuse(self.call, Expired("too little time is left to answer"))
        self.call.deadline = asyncio.get_running_loop().time() + allowed
        self._limit = asyncio.timeout_at(self.call.deadline)
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._limit is None:
            return
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            await refuse(self.call, Expired("the time for the call is used up"))


def allowed_s(call: Call) -> float | None:
    """Return the seconds the call may take: the stricter of the caller's and the method's limit."""
    method = call.method
    streaming = method.client_streaming or method.server_streaming
    own = method.deadline_s if method.deadline_s or streaming else DEFAULT_S
    given = call.context.time_remaining()
    if given is None:
        return own
    trimmed = given - RETURN_S
    return trimmed if own is None else min(trimmed, own)
