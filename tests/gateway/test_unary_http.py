"""Unary methods over HTTP: path, query, body, headers, answers and every kind of refusal."""

import asyncio
from typing import Any

import grpc
import orjson
import pytest
from aiohttp import ClientSession

from tests.gateway.asking import JSON, ask
from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import ASSET, JOB, TRACK, Fakes, rpc_error


async def test_a_get_answers_in_the_envelope_with_numbers_and_zeros(http: ClientSession) -> None:
    """Counts are numbers, zeros are there, an unset time is null, and the trace id stands in body and header."""
    status, body, headers = await ask(http, "GET", "/api/v1/wallet/balance")
    assert status == 200
    assert body["code"] == 0
    assert body["message"] == "success"
    assert body["data"]["balance"] == {
        "available_credits": 100,
        "held_credits": 0,
        "update_time": None,
        "sequence": 0,
    }
    assert body["trace_id"] == headers["X-Trace-Id"]
    assert set(body) == {"code", "message", "data", "trace_id"}


async def test_a_post_takes_the_body_in_either_spelling_and_answers_with_the_status_of_the_contract(
    http: ClientSession, fakes: Fakes
) -> None:
    """snake_case and camelCase keys fill the same fields; CreateTrack answers 201."""
    for body in ({"asset_id": ASSET, "voice_gender": "duet"}, {"assetId": ASSET, "voiceGender": "duet"}):
        status, answer, _ = await ask(http, "POST", "/api/v1/tracks", data=orjson.dumps(body), headers=JSON)
        assert status == 201
        assert answer["data"]["track"]["state"] == "generating"
        assert fakes.tracks.request.asset_id == ASSET
        assert fakes.tracks.request.voice_gender == 3


@pytest.mark.point(8)
async def test_the_older_paths_reach_the_same_methods(http: ClientSession) -> None:
    """The additional bindings answer like the paths they stand for."""
    status, _, _ = await ask(http, "POST", "/api/music/generate", data=orjson.dumps({"asset_id": ASSET}), headers=JSON)
    assert status == 201
    status, body, _ = await ask(http, "GET", f"/api/music/{JOB}/status")
    assert (status, body["data"]["job"]["state"]) == (200, "running")


async def test_a_patch_joins_path_and_body_and_refuses_a_body_that_disagrees(http: ClientSession, fakes: Fakes) -> None:
    """The path names the track; an absent optional field stays absent; another id in the body is refused."""
    status, _, _ = await ask(http, "PATCH", f"/api/v1/tracks/{TRACK}", data=b'{"title": "\xe6\x96\xb0"}', headers=JSON)
    assert status == 200
    assert (fakes.tracks.request.track_id, fakes.tracks.request.title) == (TRACK, "新")
    assert not fakes.tracks.request.HasField("lyrics")
    other = orjson.dumps({"track_id": JOB, "title": "x"})
    status, body, _ = await ask(http, "PATCH", f"/api/v1/tracks/{TRACK}", data=other, headers=JSON)
    assert (status, body["code"], body["details"]["fields"][0]["field"]) == (400, 10001, "track_id")


@pytest.mark.point(6)
async def test_a_delete_needs_no_body_and_refuses_one(http: ClientSession) -> None:
    """An empty answer is an empty object; a body where none is expected is not dropped in silence."""
    status, body, _ = await ask(http, "DELETE", f"/api/v1/tracks/{TRACK}")
    assert (status, body["data"]) == (200, {})
    status, body, _ = await ask(http, "DELETE", f"/api/v1/tracks/{TRACK}", data=b"{}", headers=JSON)
    assert (status, body["details"]["fields"][0]["field"]) == (400, "body")


@pytest.mark.parametrize("query", ["page_size=3", "pageSize=3", "limit=3"])
async def test_every_spelling_of_the_page_size_gives_the_same_page(http: ClientSession, query: str) -> None:
    """The dialects of the older interfaces are spellings of one field."""
    _, body, _ = await ask(http, "GET", f"/api/v1/wallet/entries?{query}")
    assert len(body["data"]["entries"]) == 3


@pytest.mark.parametrize("query", ["page_token=a%2Fb", "pageToken=a%2Fb", "cursor=a%2Fb"])
async def test_every_spelling_of_the_page_token_arrives_decoded(http: ClientSession, fakes: Fakes, query: str) -> None:
    """The token arrives as it was given out."""
    await ask(http, "GET", f"/api/v1/wallet/entries?{query}")
    assert fakes.credits.page.page_token == "a/b"


@pytest.mark.point(5, 9)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("page_size=many", "page_size"),
        ("page_size=-", "page_size"),
        ("page_size=1.0", "page_size"),
        ("page_size=٣", "page_size"),
        ("page_size=99999999999", "page_size"),
        ("page_size=1&page_size=2", "page_size"),
        ("page_size=1&pageSize=1", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_token=%00", "page_token"),
        ("fields=nothing", "fields"),
        ("fields=", "fields"),
        ("page=2", "page"),
    ],
)
async def test_a_parameter_that_means_nothing_is_refused_by_name(http: ClientSession, query: str, field: str) -> None:
    """Unknown, mistyped and doubled parameters are PARAM_INVALID with their name, also where the service judges."""
    status, body, _ = await ask(http, "GET", f"/api/v1/wallet/entries?{query}")
    assert (status, body["code"], body["error"]) == (400, 10001, "PARAM_INVALID")
    assert body["details"]["fields"][0]["field"] == field


async def test_fields_leaves_only_the_named_keys(http: ClientSession) -> None:
    """A name may be a key of data or of the resource; a list keeps its paging token."""
    _, body, _ = await ask(http, "GET", f"/api/v1/tracks/{TRACK}?fields=title,state")
    assert set(body["data"]) == {"track"}
    assert set(body["data"]["track"]) == {"title", "state"}
    _, body, _ = await ask(http, "GET", "/api/v1/wallet/entries?limit=2&fields=kind")
    assert body["data"] == {"entries": [{"kind": "hold"}, {"kind": "hold"}], "next_page_token": "more"}
    _, body, _ = await ask(http, "GET", "/api/v1/wallet/entries?limit=1&fields=next_page_token")
    assert body["data"] == {"next_page_token": "more"}


@pytest.mark.point(23)
@pytest.mark.parametrize("header", ["abc-1", '"abc-1"', ' "abc-1" '])
async def test_the_idempotency_key_becomes_the_request_id(http: ClientSession, fakes: Fakes, header: str) -> None:
    """The header fills request_id with or without quotes; an id in the body must agree with it."""
    headers = {**JSON, "Idempotency-Key": header}
    await ask(http, "POST", "/api/v1/tracks", data=orjson.dumps({"asset_id": ASSET}), headers=headers)
    assert fakes.tracks.request.request_id == "abc-1"
    other = orjson.dumps({"asset_id": ASSET, "request_id": "other"})
    status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=other, headers=headers)
    assert (status, body["details"]["fields"][0]["field"]) == (400, "request_id")


async def test_an_error_of_a_service_keeps_its_reason_facts_and_status(http: ClientSession) -> None:
    """INSUFFICIENT_CREDITS is 402 / 40003 with both amounts, told in Chinese unless English is asked for."""
    wish = orjson.dumps({"asset_id": ASSET, "title": "poor"})
    status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=wish, headers=JSON)
    assert (status, body["code"], body["error"]) == (402, 40003, "INSUFFICIENT_CREDITS")
    assert body["details"]["metadata"] == {"needed": "20", "available": "10"}
    assert body["message"] == "积分不足：需要 20，可用 10，请充值后再试。"
    english = {**JSON, "Accept-Language": "en-GB, zh;q=0.2"}
    _, body, _ = await ask(http, "POST", "/api/v1/tracks", data=wish, headers=english)
    assert body["message"] == "Not enough credits: 20 needed, 10 available. Top up and try again."
    assert set(body) == {"code", "message", "error", "details", "trace_id"}


async def test_what_the_service_validates_names_the_field_too(http: ClientSession) -> None:
    """A violation found by protovalidate arrives with the field and the rule."""
    status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=b'{"asset_id": "x"}', headers=JSON)
    assert (status, body["code"]) == (400, 10001)
    assert body["details"]["fields"][0]["field"] == "asset_id"
    assert body["details"]["fields"][0]["rule"] == "string.uuid"


@pytest.mark.point(16)
@pytest.mark.parametrize(
    ("token", "code", "challenge"),
    [
        (None, 20001, 'Bearer realm="cadenza"'),
        ("Bearer forged", 20001, 'Bearer realm="cadenza", error="invalid_token"'),
        ("Bearer expired", 20002, 'Bearer realm="cadenza", error="invalid_token"'),
        ("Bearer é", 20001, 'Bearer realm="cadenza", error="invalid_token"'),
        ("Bearer " + "x" * 5000, 20001, 'Bearer realm="cadenza", error="invalid_token"'),
    ],
)
async def test_a_missing_or_bad_token_is_401_with_a_challenge(
    http: ClientSession, token: str | None, code: int, challenge: str
) -> None:
    """401 carries WWW-Authenticate; a header no service could read is refused before the call."""
    headers = {} if token is None else {"Authorization": token}
    status, body, answer = await ask(http, "GET", "/api/v1/wallet/balance", headers=headers)
    assert (status, body["code"], answer["WWW-Authenticate"]) == (401, code, challenge)


async def test_another_users_track_is_not_found(http: ClientSession) -> None:
    """404 and not 403: whether the track exists is nobody else's business."""
    status, body, _ = await ask(http, "GET", f"/api/v1/tracks/{TRACK}", headers={"Authorization": "Bearer bob"})
    assert (status, body["code"]) == (404, 10002)


@pytest.mark.point(17)
async def test_an_unforeseen_failure_tells_nothing_of_the_inside(http: ClientSession, fakes: Fakes) -> None:
    """A bug in a service is 500 / 10000 without the exception's words."""

    def fail() -> Any:
        raise RuntimeError("password=hunter2 at /srv/secret.py")

    fakes.credits.answer = fail
    status, body, _ = await ask(http, "GET", "/api/v1/wallet/balance")
    assert (status, body["code"]) == (500, 10000)
    assert "hunter2" not in orjson.dumps(body).decode()


async def test_a_service_that_is_down_takes_only_its_own_routes_along(http: ClientSession, fakes: Fakes) -> None:
    """With Wallet gone its routes are 503 / 10003 with Retry-After, and the others go on."""
    fakes.mesh.remove("wallet")
    status, body, headers = await ask(http, "GET", "/api/v1/wallet/balance")
    assert (status, body["code"], body["details"]["metadata"]) == (503, 10003, {"service": "wallet"})
    assert headers["Retry-After"] == "2"
    status, _, _ = await ask(http, "GET", f"/api/v1/jobs/{JOB}")
    assert status == 200


@pytest.mark.point(17)
async def test_what_grpc_itself_says_stays_inside(http: ClientSession, fakes: Fakes) -> None:
    """Transport errors name addresses of the mesh; the client learns the kind of failure only."""
    from gateway.upstream import upstream_error

    told = upstream_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "ipv4:10.1.2.3:50052 refused"), service="wallet")
    assert told.reason == "SERVICE_UNAVAILABLE"
    assert "10.1.2.3" not in told.message


@pytest.mark.point(15, 18)
async def test_a_call_that_takes_too_long_is_504_within_the_limit(gateway: Gateway, fakes: Fakes) -> None:
    """The deadline of the settings, or a shorter one the client names, ends the call."""
    fakes.credits.delay_s = 30
    http = await gateway(call_deadline_s=0.2)
    status, body, _ = await ask(http, "GET", "/api/v1/wallet/balance")
    assert (status, body["code"]) == (504, 10008)
    http = await gateway()
    status, body, _ = await ask(http, "GET", "/api/v1/wallet/balance", headers={**ALICE, "X-Timeout-Ms": "150"})
    assert (status, body["code"]) == (504, 10008)
    status, body, _ = await ask(http, "GET", "/api/v1/wallet/balance", headers={**ALICE, "X-Timeout-Ms": "soon"})
    assert (status, body["details"]["fields"][0]["field"]) == (400, "X-Timeout-Ms")


@pytest.mark.point(18)
async def test_a_client_that_hangs_up_cancels_the_call(http: ClientSession, fakes: Fakes) -> None:
    """The service sees the cancellation, so nobody works for a client who is gone."""
    fakes.credits.delay_s = 30
    asking = asyncio.create_task(ask(http, "GET", "/api/v1/wallet/balance"))
    await fakes.credits.asked.wait()
    asking.cancel()
    async with asyncio.timeout(1):
        await fakes.credits.cancelled.wait()


@pytest.mark.point(21)
async def test_only_the_headers_of_the_list_become_metadata(http: ClientSession, fakes: Fakes) -> None:
    """Platform, device, version, language, trace and address travel; anything else a client sends does not."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {
        **ALICE,
        "X-Platform": "wxmp",
        "X-Device-Id": "device-1",
        "X-App-Version": "1.2.3",
        "Accept-Language": "en",
        "traceparent": f"00-{trace}-b7ad6b7169203331-01",
        "User-Agent": "Firefox \t é 130",
        "X-Client-Ip": "6.6.6.6",
        "X-Forwarded-For": "6.6.6.6",
        "Grpc-Metadata-Admin": "yes",
        "Cookie": "a=b",
    }
    _, body, _ = await ask(http, "GET", "/api/v1/wallet/balance", headers=headers)
    metadata = fakes.credits.metadata
    metadata.pop("user-agent")
    assert metadata == {
        "authorization": "Bearer alice",
        "x-trace-id": trace,
        "x-platform": "wxmp",
        "x-device-id": "device-1",
        "x-app-version": "1.2.3",
        "accept-language": "en",
        "x-client-ip": "127.0.0.1",
        "x-client-agent": "Firefox   130",
    }
    assert body["trace_id"] == trace


@pytest.mark.point(22)
async def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(gateway: Gateway, fakes: Fakes) -> None:
    """The nearest hop that is not ours is the client; what stands before it anybody may have written."""
    http = await gateway(trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    headers = {**ALICE, "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.0.0.3"}
    await ask(http, "GET", "/api/v1/wallet/balance", headers=headers)
    assert fakes.credits.metadata["x-client-ip"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("name", "value"), [("X-Platform", "toaster"), ("X-Device-Id", "a b"), ("X-App-Version", "1\u00e9")]
)
async def test_a_malformed_client_header_is_refused_by_name(http: ClientSession, name: str, value: str) -> None:
    """An unknown platform is PARAM_INVALID; the default is web."""
    status, body, _ = await ask(http, "GET", "/api/v1/wallet/balance", headers={**ALICE, name: value})
    assert (status, body["code"], body["details"]["fields"][0]["field"]) == (400, 10001, name)
