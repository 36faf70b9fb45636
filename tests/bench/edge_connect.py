"""The three methods with connectrpc under uvicorn and nothing else: no gateway, no token, no limits, no spans.

Its messages are those of its own protobuf runtime, written in Rust, made here from our descriptors.
"""

from pathlib import Path
from typing import Any

from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from protobuf import _file_registry
from protobuf.wkt.google.protobuf.descriptor_pb import FileDescriptorSet

from tests.bench.edge_services import balance, created, page_of_tracks

_DESCRIPTORS = Path(__file__).parents[2] / "gen" / "cadenza" / "descriptors.binpb"
_FILES = ("cadenza/wallet/v1/credit_service.proto", "cadenza/composer/v1/track_service.proto")


def application() -> Any:
    """Return the ASGI application of both services."""
    files = {each.name: each for each in FileDescriptorSet.from_binary(_DESCRIPTORS.read_bytes()).file}
    registries = [_file_registry.create_file_registry(files[name], files.get) for name in _FILES]

    def message(name: str) -> Any:
        found = next(each for each in (registry.message(name) for registry in registries) if each is not None)
        return found.type

    wallet, composer = "cadenza.wallet.v1", "cadenza.composer.v1"
    balance_answer, tracks_answer, created_answer = (
        message(f"{wallet}.GetBalanceResponse"),
        message(f"{composer}.ListTracksResponse"),
        message(f"{composer}.CreateTrackResponse"),
    )
    page = tracks_answer.from_binary(page_of_tracks().SerializeToString())
    told_balance = balance_answer.from_binary(balance().SerializeToString())
    told_created = created_answer.from_binary(created("欢乐颂").SerializeToString())

    async def get_balance(_request: Any, _context: Any) -> Any:
        return told_balance

    async def list_tracks(_request: Any, _context: Any) -> Any:
        return page

    async def create_track(_request: Any, _context: Any) -> Any:
        return told_created

    functions = {
        (f"{wallet}.CreditService", "GetBalance"): (
            get_balance,
            message(f"{wallet}.GetBalanceRequest"),
            balance_answer,
        ),
        (f"{composer}.TrackService", "ListTracks"): (
            list_tracks,
            message(f"{composer}.ListTracksRequest"),
            tracks_answer,
        ),
        (f"{composer}.TrackService", "CreateTrack"): (
            create_track,
            message(f"{composer}.CreateTrackRequest"),
            created_answer,
        ),
    }
    endpoints = {
        f"/{service}/{name}": Endpoint.unary(
            MethodInfo(
                name=name,
                service_name=service,
                input=asks,
                output=answers,
                idempotency_level=IdempotencyLevel.UNKNOWN,
                stream_type=StreamType.UNARY,
            ),
            function,
        )
        for (service, name), (function, asks, answers) in functions.items()
    }

    class _Application(ConnectASGIApplication):
        @property
        def path(self) -> str:
            return "/"

    return _Application(service=object(), endpoints=lambda _service: endpoints)
