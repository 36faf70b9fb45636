"""What each concern around a call costs, what a verified token saves: microseconds of processor time in one process."""

import time
from contextlib import AsyncExitStack
from typing import Any

from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import Concern, concerns
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.tokens import TokenVerifier
from tests.bench.edge_services import Credits
from tests.bench.rounds import Figures, Row, Side, Trial, median
from tests.kit.rpc_layouts import Issuer, bearer

CALLS = 200
VERIFIED = 2000
SIGNATURES = 100
WANTED = 20.0
NAMES = ("observe", "deadlines", "errors", "identity", "validation", "idempotency")
_DEADLINE_S = 10.0
_WARM = 20


async def measure(trial: Trial) -> list[Row]:
    """Return a row for each concern, against the same call without it, and one for the check of a token."""
    issuer = Issuer()
    async with AsyncExitStack() as stack:
        around = concerns("bench", verifier=issuer.verifier())
        rows = []
        for place, name in enumerate(NAMES):
            rest = (*around[:place], *around[place + 1 :])
            whole, without = await _calling(stack, issuer, around), await _calling(stack, issuer, rest)
            series = await trial.in_turn(whole, without)
            ours, reference = series.ours["us"], series.reference["us"]
            note = f"{median(ours) - median(reference):+.1f} µs"
            rows.append(Row("concerns", f"a call with {name}", "µs", "the same without", ours, reference, note=note))
        series = await trial.in_turn(_checking(issuer.verifier(), issuer.token()), _verifying(issuer))
    ours, reference = series.ours["us"], series.reference["us"]
    times = median(reference) / median(ours)
    verdict = "kept" if times >= WANTED else "**missed**"
    note = f"{times:.0f} times cheaper, {WANTED:g} wanted: {verdict}"
    return [*rows, Row("concerns", "check of a known token", "µs", "one Ed25519 signature", ours, reference, note=note)]


async def _calling(stack: AsyncExitStack, issuer: Issuer, around: tuple[Concern, ...]) -> Side:
    """Return a side that reads a balance again and again inside the process."""
    mesh = LocalMesh()
    servicer: Any = Credits
    registered = Registered(credit_service_pb2_grpc.add_CreditServiceServicer_to_server, servicer())
    mesh.add(Application("wallet", [registered]), around)
    stack.push_async_callback(mesh.drain, 0.5)
    stub = credit_service_pb2_grpc.CreditServiceStub(mesh.peers("gateway").channel("wallet"))
    request, metadata = credit_service_pb2.GetBalanceRequest(), bearer(issuer.token())

    async def side() -> Figures:
        began = time.process_time()
        for _ in range(CALLS):
            await stub.GetBalance(request, metadata=metadata, timeout=_DEADLINE_S)
        return {"us": (time.process_time() - began) / CALLS * 1e6}

    for _ in range(_WARM):
        await stub.GetBalance(request, metadata=metadata, timeout=_DEADLINE_S)
    return side


def _checking(verifier: TokenVerifier, token: str) -> Side:
    """Return a side that checks one token over and over; its signature is looked at the first time only."""

    async def side() -> Figures:
        await verifier.verify(token)
        began = time.process_time()
        for _ in range(VERIFIED):
            await verifier.verify(token)
        return {"us": (time.process_time() - began) / VERIFIED * 1e6}

    return side


def _verifying(issuer: Issuer) -> Side:
    """Return a side that verifies the bare signature of a token of the same length, with nothing around it."""
    text, _, _ = issuer.token().rpartition(".")
    key, message = issuer.key.public_key(), text.encode()
    signature = issuer.key.sign(message)

    async def side() -> Figures:
        began = time.process_time()
        for _ in range(SIGNATURES):
            key.verify(signature, message)
        return {"us": (time.process_time() - began) / SIGNATURES * 1e6}

    return side
