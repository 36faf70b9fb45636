"""A process full of racers: holds of one user over one connection with mutual TLS, all at once."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import grpc

from cadenza.wallet.v1 import credit_service_pb2 as pb
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.config import ProcessConfig
from services.kit.ids import new_id
from services.kit.rpc.channel import MtlsPeers
from services.kit.rpc.errors import from_rpc

_PATIENCE_S = 60.0
_ATTEMPTS = 20
_PAUSE_S = 0.1
_AGAIN = {"TIMEOUT", "SERVICE_UNAVAILABLE"}


async def _sure(method: Any, request: Any) -> Any:
    """Return the answer, asking again under the same id while the server has no time, as every client of ours may.

    Only so many calls are on their way from one process at a time; whoever is one too many comes again a little later.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return await method(request, timeout=_PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            if from_rpc(error).reason not in _AGAIN:
                raise
        await asyncio.sleep(_PAUSE_S * (attempt + 1))
    message = "the server never had time"
    raise TimeoutError(message)


async def _one(stub: Any, user_id: str, chance: Random, met: Counter[str], *, mixed: bool) -> None:
    """Hold once and, in a mix, end the hold in one of two ways, each call twice."""
    job = new_id()
    hold = pb.HoldRequest(request_id=job, user_id=user_id, price_kind="lyrics")
    amount, settles = chance.randrange(11), chance.random() < 0.5
    try:
        await _sure(stub.Hold, hold)
    except grpc.aio.AioRpcError as error:
        met[str(from_rpc(error).reason)] += 1
        return
    met["granted"] += 1
    if not mixed:
        return
    await _sure(stub.Hold, hold)
    if settles:
        request = pb.SettleRequest(request_id="s" + job, hold_id=job, amount_credits=amount)
        answers = await asyncio.gather(*(_sure(stub.Settle, request) for _ in range(2)))
        met["settled"] += 1
        met["spent"] += answers[0].hold.settled_credits
    else:
        again = pb.ReleaseRequest(request_id="r" + job, hold_id=job)
        await asyncio.gather(*(_sure(stub.Release, again) for _ in range(2)))
        met["released"] += 1


async def main(order: dict[str, Any]) -> Counter[str]:
    """Return what the racers met, counted by its name."""
    config = ProcessConfig(
        tls_directory=Path(order["tls"]), wallet_address=order["address"], tls_server_name="{service}"
    )
    peers = MtlsPeers(config, "composer")
    chance, met = Random(order["seed"]), Counter[str]()
    try:
        stub = CreditServiceStub(peers.channel("wallet"))
        racers = (_one(stub, order["user"], chance, met, mixed=order["mixed"]) for _ in range(order["racers"]))
        await asyncio.gather(*racers)
    finally:
        await peers.close()
    return met


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
