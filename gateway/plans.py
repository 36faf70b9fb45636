"""Which plan a client's user is on, for the limits that depend on it.

Wallet knows, and asking it at every request would cost more than the request. So it is asked only when somebody has
used up what the smallest plan allows, in the name of that somebody, and the answer is kept for a minute. Whose plan
cannot be found out is on the smallest one for a few seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio

from cadenza.wallet.v1.credit_service_pb2 import PLAN_BASIC, PLAN_FREE, PLAN_PREMIUM, GetQuotaRequest
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from gateway.caller import Caller
from gateway.config import Config
from services.kit.rpc.channel import Peers

_KEPT_S: Final = 60.0
_UNKNOWN_S: Final = 5.0
_ANSWER_S: Final = 1.0
_MOST_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    plan: int
    until: float


class Plans:
    """The plans of those who ask much."""

    def __init__(self, peers: Peers, config: Config, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        """Ask Wallet through `peers`; the settings say what each plan allows."""
        self._stub: Any = CreditServiceStub(peers.channel("wallet"))
        self._elapsed = elapsed
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self.ai_per_minute: Mapping[int, int] = {
            PLAN_FREE: config.rate_ai_free_per_minute,
            PLAN_BASIC: config.rate_ai_basic_per_minute,
            PLAN_PREMIUM: config.rate_ai_premium_per_minute,
        }

    def known(self, key: str) -> int | None:
        """Return the plan of whoever holds the token of this key, or None when it has to be asked for."""
        found = self._known.get(key)
        return found.plan if found is not None and self._elapsed() < found.until else None

    async def ask(self, key: str, caller: Caller) -> int:
        """Return the plan of the caller, whose token has this key; the smallest one when Wallet does not tell."""
        metadata = (("x-trace-id", caller.trace_id), ("authorization", caller.authorization))
        plan, kept_s = PLAN_FREE, _UNKNOWN_S
        try:
            answer = await self._stub.GetQuota(GetQuotaRequest(), timeout=_ANSWER_S, metadata=metadata)
            plan, kept_s = answer.plan, _KEPT_S
        except (grpc.aio.AioRpcError, ValueError, TypeError):
            # A token that is none, or one that cannot even travel; or Wallet is away. The call itself will tell.
            pass
        self._known[key] = _Known(plan, self._elapsed() + kept_s)
        self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return plan
