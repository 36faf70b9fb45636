"""The split layout tells the short story, and answers every request as the co-located one does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.kit.ids import new_id
from tests.e2e.people import Answer, Person, Song, until
from tests.e2e.split import SERVICES, Split, has_rclone, split_mesh
from tests.fakes.otlp import Otlp, ReceivedSpan
from tests.fakes.stand_in import served

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
async def otlp() -> AsyncIterator[Otlp]:
    """A receiver of spans."""
    async with served(Otlp()) as running:
        yield running


@pytest.fixture(scope="module")
async def split(homes: Callable[[str], Path], otlp: Otlp) -> AsyncIterator[Split]:
    """The split layout, running."""
    if has_rclone() is None:
        pytest.skip("rclone is not installed on this platform")
    async with split_mesh(homes("split"), otlp_endpoint=otlp.url) as running:
        yield running


@pytest.fixture(scope="module")
async def elsewhere(split: Split, hum: Path) -> AsyncIterator[tuple[Person, Song]]:
    """Somebody at the split layout, with a finished song."""
    async with Person(split.base_url) as person:
        await person.arrive()
        asset = await person.ready_asset(hum)
        created = await person.order(asset["asset_id"])
        events = await person.stream(f"/api/v1/jobs/{created['job_id']}/events")
        track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
        await until(person.credits, lambda found: found == (80, 0))
        yield person, Song(asset, created, track, events)


async def test_the_short_story(split: Split, elsewhere: tuple[Person, Song]) -> None:
    """Seven processes of our own with mTLS between them make, play, share and charge a song, and call it back."""
    person, song = elsewhere
    share = await person.call("POST", f"/api/v1/tracks/{song.track_id}/share", {"share_types": ["link"]})
    async with Person(split.base_url) as stranger:
        shown = (await stranger.call("GET", f"/api/v1/shares/{share['share_code']}"))["shared_track"]
        heard = await stranger.ask("GET", shown["audio_url"])
        page = await stranger.ask("GET", f"/s/{share['share_code']}")
        await person.call("DELETE", f"/api/v1/shares/{share['share_code']}")
        gone = await stranger.ask("GET", f"/api/v1/shares/{share['share_code']}")

    assert all(process.poll() is None for process in split.processes.values())
    assert [each["label"] for each in song.track["variants"]] == ["A", "B"]
    assert song.events[-2].data["event"]["state"] == "completed"
    assert heard.status == 200
    assert heard.raw[:3] == b"ID3"
    assert (page.status, b"<audio" in page.raw) == (200, True)
    assert gone.refusal == (410, 50002, "SHARE_REVOKED")


async def test_one_trace_goes_through_all_processes(elsewhere: tuple[Person, Song], otlp: Otlp) -> None:
    """Gateway, Composer, Wallet, the worker and Media have spans of one song in one trace, joined to one tree."""

    async def look() -> list[ReceivedSpan]:
        trace = next((each.trace_id for each in otlp.spans if each.name == "create job music"), "")
        return otlp.trace(trace)

    spans = await until(look, lambda found: {"job music", "ledger settle"} <= {each.name for each in found})
    services = {each.resource["service.name"] for each in spans}
    assert {f"cadenza-{name}" for name in ("gateway", "composer", "wallet", "worker", "media")} <= services
    ids = {each.span_id for each in spans}
    assert len([each for each in spans if each.parent_id not in ids]) == 1


async def test_services_answer_peers_with_the_right_name_only(split: Split) -> None:
    """In plaintext nobody is answered; with Share's certificate a balance cannot be held, which Composer alone may."""
    tls = Path(split.environment["CADENZA_TLS"])
    for service in SERVICES:
        address = split.environment[f"{service.upper()}_ADDRESS"]
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await credit_service_pb2_grpc.CreditServiceStub(channel).ListPrices(
                    credit_service_pb2.ListPricesRequest(), timeout=10
                )
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    codes = {}
    for name in ("share", "composer"):
        files = [tls / each for each in ("ca.pem", f"{name}-key.pem", f"{name}.pem")]
        credentials = grpc.ssl_channel_credentials(*[await asyncio.to_thread(each.read_bytes) for each in files])
        options = (("grpc.ssl_target_name_override", "wallet"),)
        async with grpc.aio.secure_channel(split.environment["WALLET_ADDRESS"], credentials, options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await credit_service_pb2_grpc.CreditServiceStub(channel).Hold(
                    credit_service_pb2.HoldRequest(request_id=new_id(), user_id=new_id(), price_kind="music"),
                    timeout=10,
                )
            codes[name] = refused.value.code()
    assert codes == {
        "share": grpc.StatusCode.PERMISSION_DENIED,
        "composer": grpc.StatusCode.FAILED_PRECONDITION,  # nobody has no credits
    }


def shape(value: Any) -> Any:
    """Return the value with every leaf replaced by the name of its type; a list by the shapes in it."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted({repr(shape(each)) for each in value})
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def seen(answer: Answer) -> Any:
    """Return what two layouts must have in common in an answer."""
    kind = answer.headers["Content-Type"]
    if not kind.startswith("application/json"):
        return answer.status, kind
    body = answer.body
    code = {key: body[key] for key in ("code", "error", "message") if key in body}
    details = body.get("details", {})
    return answer.status, kind, code, details.get("fields"), shape(details.get("metadata")), shape(body)


async def answers(person: Person, song: Song) -> dict[str, Any]:
    """Return what a fixed series of requests is answered: all that reads, and refusals of every sort."""
    track, job, asset = f"/api/v1/tracks/{song.track_id}", f"/api/v1/jobs/{song.job_id}", song.asset["asset_id"]
    nobody = new_id()
    requests: list[tuple[str, str, Any]] = [
        *(("GET", f"/api/v1/{path}", None) for path in (
            "users/me", "wallet/balance", "wallet/entries", "wallet/logs?page_size=1", "wallet/prices", "auth/keys",
            "tracks", "jobs", "assets", "shares?page_size=x", "config/client", "tracks?page_token=nonsense",
            "tracks?page_size=x", "nothing",
            "tracks/nonsense", f"tracks/{nobody}", f"jobs/{nobody}", f"assets/{nobody}", "shares/zzzzzzzz",
            f"assets/{asset}", f"tracks/{song.track_id}?fields=track.title", f"jobs/{song.job_id}/log?page_size=3",
        )),
        ("GET", track, None),
        ("GET", job, None),
        ("GET", f"/api/music/{song.job_id}/status", None),
        ("GET", "/health/ready", None),
        ("GET", "/api/docs/openapi.json", None),
        ("PUT", "/api/v1/tracks", {}),
        ("POST", "/api/v1/tracks", {"asset_id": 5}),
        ("POST", "/api/v1/tracks", {"asset_id": nobody}),
        ("POST", "/api/v1/tracks", {"asset_id": song.track["variants"][0]["asset_id"]}),
        ("PATCH", track, {"title": ""}),
        ("PATCH", track, {"title": song.track["title"]}),
        ("POST", f"{track}/choose", {"variant_id": nobody}),
        ("POST", f"{track}/choose", {"variant_id": song.track["variants"][1]["variant_id"]}),
        ("POST", f"{track}/share", {"share_types": ["fax"]}),
        ("POST", f"{track}/share", {"share_types": ["link"]}),
        ("POST", f"{job}/cancel", {}),
        ("POST", "/api/v1/assets/audio/presign", {"filename": "a.wav", "content_type": "text/html", "size_bytes": 9}),
        ("POST", "/api/v1/assets/audio/upload", {"file": "none"}),
        ("POST", "/api/v1/auth/anonymous", {"provider": "web", "provider_id": "short"}),
        ("POST", "/api/v1/auth/refresh", {"refresh_token": "nonsense"}),
        ("POST", "/api/auth/wechat-auth", {"code": "x"}),
        ("DELETE", f"/api/v1/tracks/{nobody}", None),
    ]  # fmt: skip
    found: dict[str, Any] = {}
    for number, (method, path, body) in enumerate(requests):
        known = path.replace(song.track_id, "ours").replace(song.job_id, "ours").replace(asset, "ours")
        name = f"{number} {method} {known.replace(nobody, 'nobodys')}"
        found[name] = seen(await person.ask(method, path, json=body))
    found["text"] = seen(await person.send(b"just text", "a.mp3"))
    found["nested"] = seen(await person.ask("POST", "/api/v1/tracks", json=_nested(200)))
    found["events"] = [(each.name, shape(each.data)) for each in await person.stream(f"{job}/events")][:1]
    token, person.token = person.token, "nonsense"
    found["no token"] = seen(await person.ask("GET", "/api/v1/users/me"))
    found["no stream"] = seen(await person.ask("GET", f"{job}/events"))
    person.token = ""  # a signed address is the permission, and S3 takes no second one
    found["sound"] = seen(await person.ask("GET", song.track["variants"][0]["audio_url"]))
    person.token = token
    return found


def _nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"title": value}
    return value


async def test_both_layouts_answer_alike(singer: Person, song: Song, elsewhere: tuple[Person, Song]) -> None:
    """Fifty requests, good and bad, get the same status, code, message, fields and shape of data in both layouts."""
    ours, theirs = await answers(singer, song), await answers(*elsewhere)

    assert len(ours) > 45
    assert ours.keys() == theirs.keys()
    assert {name: (each, theirs[name]) for name, each in ours.items() if each != theirs[name]} == {}
