"""gRPC-Web and Connect on the RPC paths: what comes back in the bytes, and how errors are told."""

import base64
import io
import json
from typing import Any

import pytest
from aiohttp import ClientSession
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from cadenza.composer.v1.track_service_pb2 import CreateTrackRequest, CreateTrackResponse
from cadenza.wallet.v1.credit_service_pb2 import (
    GetBalanceResponse,
    ListEntriesRequest,
    ListEntriesResponse,
    WatchBalanceRequest,
    WatchBalanceResponse,
)
from services.kit.errors import NotFound
from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import TRACK, Fakes

WALLET = "/cadenza.wallet.v1.CreditService"
TRACKS = "/cadenza.composer.v1.TrackService"
WEB = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"


def frame(data: bytes, flags: int = 0) -> bytes:
    """Return a message with its head."""
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


def frames(raw: bytes) -> list[tuple[int, bytes]]:
    """Return flags and bytes of every frame."""
    found = []
    while raw:
        length = int.from_bytes(raw[1:5], "big")
        found.append((raw[0], raw[5 : 5 + length]))
        assert len(found[-1][1]) == length
        raw = raw[5 + length :]
    return found


def trailers(data: bytes) -> dict[str, str]:
    """Return the trailers of a last frame."""
    lines = data.decode("ascii").removesuffix("\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


def unpadded(text: str) -> bytes:
    """Return the bytes of base64 without padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


async def post(http: ClientSession, path: str, body: bytes, kind: str = WEB, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, bytes and headers of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(path, data=io.BytesIO(body), headers={**ALICE, "Content-Type": kind, **named}) as answer:
        return answer.status, await answer.read(), answer.headers


async def web(http: ClientSession, path: str, request: bytes, **headers: str) -> tuple[list[bytes], dict[str, str]]:
    """Return the messages and the trailers of a gRPC-Web call."""
    status, raw, got = await post(http, path, frame(request), **headers)
    assert (status, got["Content-Type"]) == (200, WEB)
    *messages, (flags, last) = frames(raw)
    assert flags == 0x80
    assert all(each == 0 for each, _ in messages)
    return [data for _, data in messages], trailers(last)


async def test_grpc_web_answers_with_message_and_status(http: ClientSession, fakes: Fakes) -> None:
    """A unary call comes back as one message and trailers; the services see the caller as with JSON."""
    (data,), end = await web(http, f"{WALLET}/ListEntries", ListEntriesRequest(page_size=3).SerializeToString())

    assert len(ListEntriesResponse.FromString(data).entries) == 3
    assert end["grpc-status"] == "0"
    assert len(end["x-trace-id"]) == 32
    await web(http, f"{WALLET}/GetBalance", b"", X_Platform="wxmp", grpc_timeout="5S")
    assert (fakes.credits.metadata["x-platform"], fakes.credits.metadata["authorization"]) == ("wxmp", "Bearer alice")


async def test_grpc_web_as_text(http: ClientSession) -> None:
    """Base64 in, base64 out, of the same frames."""
    body = base64.b64encode(frame(ListEntriesRequest(page_size=2).SerializeToString()))
    status, raw, headers = await post(http, f"{WALLET}/ListEntries", body, TEXT)

    assert (status, headers["Content-Type"]) == (200, "application/grpc-web-text+proto")
    pieces = [base64.b64decode(each + b"=" * (-len(each) % 4)) for each in raw.replace(b"=", b" ").split()]
    (_, data), (flags, _) = frames(b"".join(pieces))
    assert len(ListEntriesResponse.FromString(data).entries) == 2
    assert flags == 0x80


async def test_grpc_web_tells_errors_with_their_details(http: ClientSession) -> None:
    """A refusal is a status with reason and facts, a bad field one with its name; the HTTP status stays 200."""
    poor = CreateTrackRequest(title="poor", lyrics="la").SerializeToString()
    messages, end = await web(http, f"{TRACKS}/CreateTrack", poor)
    status, info = Status.FromString(unpadded(end["grpc-status-details-bin"])), error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)

    assert messages == []
    assert (end["grpc-status"], end["grpc-message"]) == ("9", "the balance does not cover the price")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "INSUFFICIENT_CREDITS",
        "cadenza",
        {"needed": "20", "available": "10"},
    )
    _, end = await web(http, f"{WALLET}/ListEntries", ListEntriesRequest(page_size=-1).SerializeToString())
    bad = error_details_pb2.BadRequest()
    assert Status.FromString(unpadded(end["grpc-status-details-bin"])).details[1].Unpack(bad)
    assert (end["grpc-status"], bad.field_violations[0].field) == ("3", "page_size")


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "3"),
        (frame(b"x" * 10)[:-1], {}, "3"),
        (frame(b"") + frame(b""), {}, "3"),
        (frame(b"\xff\xff\xff"), {}, "3"),
        (frame(b"", 1), {}, "3"),
        (frame(b""), {"grpc_timeout": "5"}, "3"),
        (frame(b""), {"grpc_timeout": "0S"}, "3"),
        (frame(b""), {"Authorization": ""}, "16"),
        (frame(b""), {"Authorization": "Bearer forged"}, "16"),
        (frame(b"\0" * 1_100_000), {}, "8"),
        (frame(b""), {"Content-Encoding": "gzip"}, "3"),
    ],
)
async def test_grpc_web_that_is_none_is_refused(
    http: ClientSession, fakes: Fakes, body: bytes, headers: dict[str, str], code: str
) -> None:
    """What is no frame, no message, compressed, too large, or of nobody, is told as a status and reaches no service."""
    status, raw, got = await post(http, f"{WALLET}/GetBalance", body, **headers)
    ((flags, last),) = frames(raw)

    assert (status, got["Content-Type"], flags) == (200, WEB, 0x80)
    assert trailers(last)["grpc-status"] == code
    assert not fakes.credits.asked.is_set()


async def test_a_stream_goes_on_until_its_client_goes(http: ClientSession, fakes: Fakes) -> None:
    """Each message of a stream comes as a frame of its own while the stream goes on, in both protocols."""
    request = WatchBalanceRequest(after_sequence=4).SerializeToString()
    for kind in (WEB, "application/connect+proto"):
        headers = {**ALICE, "Content-Type": kind}
        async with http.post(f"{WALLET}/WatchBalance", data=frame(request), headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
            numbers = []
            for _ in range(3):
                head = await answer.content.readexactly(5)
                data = await answer.content.readexactly(int.from_bytes(head[1:], "big"))
                numbers.append(WatchBalanceResponse.FromString(data).sequence)
            assert numbers == [4, 5, 6]
    assert fakes.credits.watched == ["alice", "alice"]


async def test_connect_speaks_bytes_and_json(http: ClientSession) -> None:
    """A call of Connect is answered with the bare message, in bytes or canonical JSON; unknown fields are ignored."""
    request = ListEntriesRequest(page_size=2)
    status, raw, headers = await post(http, f"{WALLET}/ListEntries", request.SerializeToString(), "application/proto")
    assert (status, headers["Content-Type"]) == (200, "application/proto")
    assert len(ListEntriesResponse.FromString(raw).entries) == 2

    body = json.dumps({"pageSize": 1, "nobodyKnows": 1}).encode()
    status, raw, headers = await post(http, f"{WALLET}/ListEntries", body, "application/json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(raw)["entries"] == [{"entryId": "0", "kind": "KIND_HOLD", "amountCredits": "-5"}]


async def test_connect_reads_by_get(http: ClientSession) -> None:
    """What changes nothing may be asked by GET; what changes something may not."""
    message = base64.urlsafe_b64encode(ListEntriesRequest(page_size=2).SerializeToString()).decode().rstrip("=")
    query = {"connect": "v1", "encoding": "proto", "base64": "1", "message": message}
    async with http.get(f"{WALLET}/ListEntries", params=query, headers=ALICE) as answer:
        assert answer.status == 200
        assert len(ListEntriesResponse.FromString(await answer.read()).entries) == 2
    async with http.get(f"{TRACKS}/CreateTrack", params=query, headers=ALICE) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")
    async with http.get(f"{WALLET}/ListEntries", params={**query, "message": "%"}, headers=ALICE) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "PARAM_INVALID")


async def test_connect_tells_errors(http: ClientSession, fakes: Fakes) -> None:
    """An error has the protocol's status and words, and its details in bytes."""
    body = json.dumps({"title": "poor", "lyrics": "la"}).encode()
    status, raw, headers = await post(http, f"{TRACKS}/CreateTrack", body, "application/json")
    told, info = json.loads(raw), error_details_pb2.ErrorInfo()
    info.ParseFromString(unpadded(told["details"][0]["value"]))

    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert (told["code"], told["details"][0]["type"]) == ("failed_precondition", "google.rpc.ErrorInfo")
    assert (info.reason, info.metadata["needed"]) == ("INSUFFICIENT_CREDITS", "20")
    status, raw, _ = await post(http, f"{TRACKS}/CreateTrack", b"{", "application/json")
    assert (status, json.loads(raw)["code"]) == (400, "invalid_argument")

    def missing() -> GetBalanceResponse:
        raise NotFound("there is none")

    fakes.credits.answer = missing
    status, raw, _ = await post(http, f"{WALLET}/GetBalance", b"", "application/proto")
    assert (status, json.loads(raw)["code"]) == (404, "not_found")
    fakes.credits.delay_s = 5
    status, raw, _ = await post(http, f"{WALLET}/GetBalance", b"", "application/proto", Connect_Timeout_Ms="50")
    assert (status, json.loads(raw)["code"]) == (504, "deadline_exceeded")


async def test_a_stream_that_cannot_begin_ends_with_its_error(http: ClientSession) -> None:
    """A stream refused before its first message is an end with the error, under HTTP 200."""
    kind = "application/connect+json"
    status, raw, _ = await post(http, f"{WALLET}/WatchBalance", frame(b"{}"), kind, Authorization="Bearer expired")
    ((flags, end),) = frames(raw)

    assert (status, flags) == (200, 2)
    assert json.loads(end)["error"]["code"] == "unauthenticated"


async def test_methods_that_are_not_served_are_unimplemented(http: ClientSession) -> None:
    """Unknown methods, internal ones and those that take a stream are unimplemented; other types are told in JSON."""
    upload = "/cadenza.media.v1.AssetService/UploadAsset"
    for path in (f"{WALLET}/Nothing", f"{WALLET}/Hold", "/cadenza.nobody.v1.Nothing/Get", upload):
        _, end = await web(http, path, b"")
        assert end["grpc-status"] == "12", path
    status, raw, headers = await post(http, f"{WALLET}/GetBalance", b"", "application/grpc")
    assert (status, json.loads(raw)["error"]) == (415, "MEDIA_TYPE_UNSUPPORTED")
    assert "application/grpc-web+proto" in headers["Accept-Post"]
    status, _, _ = await post(http, f"{WALLET}/GetBalance", frame(b""), "application/connect+proto")
    assert status == 415


async def test_rpc_paths_share_the_limits_of_the_routes(gateway: Gateway, redis_url: str) -> None:
    """What a person asks as JSON and by gRPC-Web is counted together, and a refusal is a status with the headers."""
    http = await gateway(redis_url=redis_url, rate_user_per_minute=2)
    async with http.get("/api/v1/wallet/balance", headers=ALICE) as answer:
        assert answer.status == 200
    _, end = await web(http, f"{WALLET}/GetBalance", b"")
    assert end["grpc-status"] == "0"
    status, raw, headers = await post(http, f"{WALLET}/GetBalance", frame(b""))

    ((_, last),) = frames(raw)
    assert (status, trailers(last)["grpc-status"]) == (200, "8")
    assert int(headers["Retry-After"]) > 0
    assert TRACK not in last.decode()
    assert CreateTrackResponse.DESCRIPTOR.full_name not in last.decode()
