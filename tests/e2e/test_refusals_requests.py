"""Requests that make no sense: each gets its number and its field, and everything is as it was."""

import asyncio
import io
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from services.wallet.usecases.credit import Credits
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song

ASSET = "0197f000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"asset_id": 5}, "asset_id"),
        ({"asset_id": [ASSET]}, "asset_id"),
        ({"asset_id": {"id": ASSET}}, "asset_id"),
        ({"asset_id": ASSET, "title": 7}, "title"),
        ({"asset_id": ASSET, "duration_s": "half a minute"}, "duration_s"),
        ({"asset_id": ASSET, "duration_s": 30.5}, "duration_s"),
        ({"asset_id": ASSET, "duration_s": 10**12}, "duration_s"),
        ({"asset_id": ASSET, "duration_s": True}, "duration_s"),
        ({"asset_id": ASSET, "seed": -1}, "seed"),
        ({"asset_id": ASSET, "voice_gender": "robot"}, "voice_gender"),
        ({"asset_id": ASSET, "title": "x" * 129}, "title"),
        ({"asset_id": ASSET, "colour": "red"}, "colour"),
        ({}, "asset_id"),
        ({"asset_id": "../../etc/passwd"}, "asset_id"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(arrive: Arrive, body: dict[str, Any], field: str) -> None:
    """A field of an unknown name, a wrong type or out of range is refused by its name, and no song is begun."""
    person = await arrive()
    before = await person.belongings()
    answer = await person.ask("POST", "/api/v1/tracks", json=body)

    assert answer.refusal == (400, 10001, "PARAM_INVALID")
    assert answer.fields == {field}
    assert await person.belongings() == before


@pytest.mark.parametrize(
    ("raw", "headers", "refusal"),
    [
        pytest.param(b'{"title": ' * 200_000, {}, (413, 10009, "BODY_TOO_LARGE"), id="2-mb-nested"),
        pytest.param(b'{"title": ' * 50_000, {}, (400, 10001, "PARAM_INVALID"), id="500-kb-nested"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, {}, (400, 10001, "PARAM_INVALID"), id="closed-nest"),
        pytest.param(b'{"asset_id": ', {}, (400, 10001, "PARAM_INVALID"), id="half-a-body"),
        pytest.param(b"\xff\xfe", {}, (400, 10001, "PARAM_INVALID"), id="no-utf-8"),
        pytest.param(b"[]", {}, (400, 10001, "PARAM_INVALID"), id="a-list"),
        pytest.param(b"null", {}, (400, 10001, "PARAM_INVALID"), id="null"),
        pytest.param(
            b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, (415, 10010, "MEDIA_TYPE_UNSUPPORTED"),
            id="a-form",
        ),
        pytest.param(
            b"x" * 100, {"Content-Encoding": "gzip"}, (415, 10010, "MEDIA_TYPE_UNSUPPORTED"), id="compressed"
        ),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_refused(
    arrive: Arrive, raw: bytes, headers: dict[str, str], refusal: tuple[int, int, str]
) -> None:
    """Bodies that are too large, too deep, broken or of another kind are refused, and the mesh goes on serving."""
    person = await arrive()
    before = await person.belongings()
    sent = {"Content-Type": "application/json", **headers}
    answer = await person.ask("POST", "/api/v1/tracks", data=io.BytesIO(raw), headers=sent)

    assert answer.refusal == refusal
    assert await person.belongings() == before


async def test_ten_credits_buy_no_song(mesh: RunningMesh, arrive: Arrive, take: bytes) -> None:
    """With 10 credits left a song is refused as 402 and 40003; neither track nor job nor ledger line comes of it."""
    person = await arrive()
    uploaded = await person.send(take, "hum.wav")
    asset = await person.settled_asset(uploaded.body["data"]["asset"]["asset_id"])
    # Ninety credits are spent by Wallet's own rules, as four songs and one text would.
    db = Database(mesh.environment["DATABASE_URL"])
    wallet = Credits(db, now, signup_grant_credits=100)
    for kind in ("music", "music", "music", "music", "lyrics"):
        job_id = new_id()
        await wallet.hold(request_id=job_id, user_id=person.user_id, price_kind=kind)
        await wallet.settle(request_id=job_id, hold_id=job_id, amount=None)
    await db.close()
    before = await person.belongings()
    key = {"Idempotency-Key": "poor-1"}
    answers = [
        await person.ask("POST", "/api/v1/tracks", json={"asset_id": asset["asset_id"]}, headers=key) for _ in range(2)
    ]

    assert before["credits"] == (10, 0)
    for answer in answers:
        assert answer.refusal == (402, 40003, "INSUFFICIENT_CREDITS")
        assert answer.body["details"]["metadata"]["needed"] == "20"
        assert answer.body["details"]["metadata"]["available"] == "10"
    assert await person.belongings() == before


async def test_a_recording_that_is_not_ready_makes_no_song(arrive: Arrive) -> None:
    """A song from an upload that was only announced is refused as 30006 and leaves no track."""
    person = await arrive()
    wish = {"filename": "a.wav", "content_type": "audio/wav", "size_bytes": 1000}
    signed = await person.call("POST", "/api/v1/assets/audio/presign", wish)
    before = await person.belongings()
    answer = await person.ask("POST", "/api/v1/tracks", json={"asset_id": signed["asset_id"]})

    assert answer.refusal == (409, 30006, "ASSET_NOT_READY")
    assert await person.belongings() == before


@pytest.fixture
def raw(mesh: RunningMesh) -> Any:
    """Send a request line as it stands: HTTP clients tidy a path before they send it."""
    host = urlsplit(mesh.base_url)

    async def send(target: str, token: str = "") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n\r\n".encode())
        async with asyncio.timeout(20):
            whole = await reader.read()
        writer.close()
        head, _, body = whole.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    return send


@pytest.mark.parametrize(
    "up", ["..", "%2e%2e", "%2E%2E", ".%2e", "%252e%252e", "..%2f..%2f", "%2e%2e%2f", "..%5c", "%c0%ae%c0%ae"]
)
async def test_no_path_leads_out(raw: Any, singer: Person, song: Song, mesh: RunningMesh, up: str) -> None:
    """Dots in a path, plain and encoded in every way, reach no file of the machine and no other person's thing."""
    secrets = await asyncio.to_thread((mesh.home.root / "secrets.json").read_bytes)
    for target in (
        f"/{up}/{up}/{up}/etc/passwd",
        f"/_objects/cadenza/{up}/{up}/secrets.json",
        f"/_objects/{up}/secrets.json",
        f"/s/{up}/{up}/secrets.json",
        f"/static/{up}/{up}/{up}/secrets.json",
        f"/web/{up}/{up}/pyproject.toml",
        f"/api/v1/tracks/{up}",
        f"/api/v1/tracks/{up}/wallet/balance",
        f"/api/v1/assets/{up}/{up}/users/me",
    ):
        status, body = await raw(target)

        assert status in {400, 401, 403, 404}, (target, status)
        assert b"root:" not in body
        assert secrets[2:40] not in body
        assert json.loads(body)["code"] != 0


async def test_a_method_that_is_not_served_says_which_are(arrive: Arrive) -> None:
    """An unknown path is 404 and 10002, a wrong verb 405 and 10004 with the verbs that are served."""
    person = await arrive()
    unknown, wrong = await person.ask("GET", "/api/v1/nothing"), await person.ask("PUT", "/api/v1/tracks")

    assert unknown.refusal == (404, 10002, "NOT_FOUND")
    assert wrong.refusal == (405, 10004, "METHOD_NOT_ALLOWED")
    assert {"GET", "POST"} <= {each.strip() for each in wrong.headers["Allow"].split(",")}


async def test_errors_speak_the_language_of_their_reader(arrive: Arrive) -> None:
    """The same refusal is told in Chinese and in English with the same number on every platform."""
    person = await arrive()
    told: dict[str, set[str]] = {}
    for platform in ("web", "wxmp", "ios", "android"):
        for language in ("zh-CN", "en"):
            headers = {"X-Platform": platform, "Accept-Language": language}
            answer = await person.ask("GET", f"/api/v1/tracks/{new_id()}", headers=headers)

            assert answer.refusal == (404, 10002, "NOT_FOUND")
            assert answer.body["trace_id"]
            told.setdefault(language, set()).add(answer.body["message"])

    assert [len(each) for each in told.values()] == [1, 1]
    assert told["zh-CN"] != told["en"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in told["zh-CN"].pop())
