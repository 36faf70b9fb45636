"""The way of a person over HTTP: log in, upload, watch, hear, choose, share, be charged once."""

import asyncio
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio

from cadenza.composer.v1 import job_service_pb2, job_service_pb2_grpc
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.quota import Quotas
from tests.e2e.conftest import Arrive
from tests.e2e.people import WISHES, Person, Song, until

STEPS = ["audio_check", "audio_analyze", "segment_pick", "compose_params", "music_generate", "ab_eval"]


async def test_a_newcomer_has_a_hundred_credits(arrive: Arrive) -> None:
    """An anonymous login gives a working token and a hundred credits from one ledger line, once per device."""
    person = await arrive()
    device = "story-device-" + person.user_id
    first = await person.login(device)
    again = await person.login(device)

    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]

    assert first["is_new"]
    assert (again["is_new"], again["user_id"]) == (False, first["user_id"])
    assert [(each["kind"], each["amount_credits"], each["balance_after_credits"]) for each in entries] == [
        ("signup_grant", 100, 100)
    ]
    assert (await person.call("GET", "/api/v1/users/me"))["user"]["user_id"] == first["user_id"]


async def test_an_upload_becomes_playable(singer: Person, song: Song) -> None:
    """The asset is ready as mp3 with its duration, its outline and an address that plays."""
    asset = (await singer.call("GET", f"/api/v1/assets/{song.asset['asset_id']}"))["asset"]

    assert (asset["state"], asset["kind"], asset["content_type"]) == ("ready", "recording", "audio/mpeg")
    assert abs(asset["duration_ms"] - 9_900) < 600
    assert len(asset["peaks"]) > 50
    assert max(asset["peaks"]) > 20
    assert (await singer.ask("GET", asset["url"])).headers["Content-Type"] == "audio/mpeg"


async def test_the_watch_of_an_asset_ends_when_it_is_ready(arrive: Arrive, hum: Path) -> None:
    """The stream of an asset begins with a snapshot, numbers its events without gaps, and ends with the ready asset."""
    person = await arrive()
    asset = await person.upload(hum)
    events = await person.stream(f"/api/v1/assets/{asset['asset_id']}/events")

    numbers = [each.number for each in events if each.name != "end"]

    assert events[0].name == "snapshot"
    assert events[-1].name == "end"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert (await person.call("GET", f"/api/v1/assets/{asset['asset_id']}"))["asset"]["state"] == "ready"


async def test_the_events_of_a_song_have_no_gaps_over_a_break(song: Song) -> None:
    """A stream that broke off goes on by Last-Event-ID: no event is missing or doubled, every step is told in order."""
    changes = [each for each in song.events if each.name == "change"]
    snapshots = [each for each in song.events if each.name == "snapshot"]
    steps = [each.data["event"]["step"] for each in changes if each.data["event"]["step"]]
    percents = [each.data["event"]["progress_percent"] for each in changes]

    assert len(snapshots) == 2
    first = snapshots[0].number
    assert [each.number for each in changes] == list(range(first + 1, first + 1 + len(changes)))
    assert all(each.number == each.data["sequence"] == each.data["event"]["sequence"] for each in changes)
    assert list(dict.fromkeys(steps)) == STEPS
    assert percents == sorted(percents)
    assert [each.data["event"]["final"] for each in changes] == [False] * (len(changes) - 1) + [True]
    assert changes[-1].data["event"]["state"] == "completed"
    assert song.events[-1].name == "end"


async def test_three_readers_see_the_same_events(mesh: RunningMesh, singer: Person, song: Song) -> None:
    """SSE from the start, polling the log and the gRPC stream give the same events, number for number."""
    path = f"/api/v1/jobs/{song.job_id}"
    streamed = [each.data["event"] for each in await singer.stream(f"{path}/events") if each.name == "change"]
    polled, token = [], ""
    while True:
        page = await singer.call("GET", f"{path}/log?page_size=5&page_token={token}")
        polled += page["events"]
        token = page["next_page_token"]
        if not token:
            break
    async with grpc.aio.insecure_channel(mesh.edge_address) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        request = job_service_pb2.WatchJobRequest(job_id=song.job_id)
        metadata = (("authorization", f"Bearer {singer.token}"),)
        watched = [each async for each in stub.WatchJob(request, metadata=metadata, timeout=30)]

    live = {each.number: each.data["event"] for each in song.events if each.name == "change"}

    assert streamed == polled[-len(streamed) :]
    assert [each["sequence"] for each in polled] == list(range(1, len(polled) + 1))
    assert {each["sequence"]: each for each in polled if each["sequence"] in live} == live
    events = [each.event for each in watched if each.HasField("event")]
    told = [(each["sequence"], each["step"], each["message"], each["progress_percent"]) for each in streamed]
    assert [(e.sequence, e.step, e.message, e.progress_percent) for e in events] == told


async def test_a_stream_goes_on_where_it_is_told(singer: Person, song: Song) -> None:
    """Last-Event-ID and after_sequence give exactly the events after that number."""
    last = song.events[-2].number
    path = f"/api/v1/jobs/{song.job_id}/events"
    by_header = await singer.stream(path, after=last - 3)
    by_query = await singer.stream(f"{path}?after_sequence={last - 3}")

    assert [each.number for each in by_header if each.name == "change"] == [last - 2, last - 1, last]
    assert by_query == by_header


async def test_both_variants_play_in_part_and_whole(singer: Person, song: Song) -> None:
    """A and B are two different mp3 files; a range is answered with 206 and exactly those bytes."""
    variants = song.track["variants"]
    whole = [await singer.ask("GET", each["audio_url"]) for each in variants]
    parts = [await singer.ask("GET", each["audio_url"], headers={"Range": "bytes=1000-1999"}) for each in variants]

    assert [each["label"] for each in variants] == ["A", "B"]
    assert [each["recommended"] for each in variants].count(True) == 1
    assert all(25_000 < each["duration_ms"] < 45_000 for each in variants)
    assert [(each.status, each.headers["Content-Type"]) for each in whole] == [(200, "audio/mpeg")] * 2
    assert all(each.raw[:3] == b"ID3" or each.raw[0] == 0xFF for each in whole)
    assert whole[0].raw != whole[1].raw
    for answer, part in zip(whole, parts, strict=True):
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(answer.raw)}"
        assert part.raw == answer.raw[1000:2000]
    saved = await singer.ask("GET", variants[0]["download_url"])
    assert "attachment" in saved.headers["Content-Disposition"]
    assert saved.raw == whole[0].raw


async def test_a_song_costs_twenty_credits_once(singer: Person, song: Song) -> None:
    """The balance went from 100 to 80, nothing is held, and the ledger has one line for it beside the grant."""
    await until(singer.credits, lambda found: found == (80, 0))
    entries = (await singer.call("GET", "/api/v1/wallet/logs"))["entries"]

    assert [(each["kind"], each["amount_credits"], each["balance_after_credits"]) for each in entries] == [
        ("hold", -20, 80),
        ("signup_grant", 100, 100),
    ]
    assert entries[0]["reference_id"] == song.job_id
    assert song.track["cost_credits"] == 20


async def test_another_variant_is_chosen(singer: Person, song: Song) -> None:
    """Choosing makes the variant the track's own, and choosing it again changes nothing."""
    other = next(each for each in song.track["variants"] if not each["recommended"])
    path = f"/api/v1/tracks/{song.track_id}"
    for _ in range(2):
        answer = await singer.call("POST", f"{path}/choose", {"variant_id": other["variant_id"]})

        assert answer["track"]["chosen_variant_id"] == other["variant_id"]
    assert (await singer.call("GET", path))["track"]["chosen_variant_id"] == other["variant_id"]


async def test_a_shared_song_is_open_to_everybody_until_called_back(singer: Person, song: Song) -> None:
    """A share is resolved without a token, as JSON and as a page that plays; once revoked both answer 410."""
    share = await singer.call("POST", f"/api/v1/tracks/{song.track_id}/share", {"share_types": ["link"]})
    again = await singer.call("POST", f"/api/v1/tracks/{song.track_id}/share", {"share_types": ["link"]})
    path, page = f"/api/v1/shares/{share['share_code']}", f"/s/{share['share_code']}"
    async with Person(singer.base_url) as stranger:
        shown = (await stranger.call("GET", path))["shared_track"]
        heard = await stranger.ask("GET", shown["audio_url"], headers={"Range": "bytes=0-99"})
        # Only what somebody looks through counts as a view.
        seen = await stranger.ask("GET", page, headers={"User-Agent": "Mozilla/5.0 (iPhone) Safari/604.1"})
        listed = (await singer.call("GET", "/api/v1/shares"))["shares"]
        await singer.call("DELETE", path)
        gone, gone_page = await stranger.ask("GET", path), await stranger.ask("GET", page)

    assert again["share_code"] == share["share_code"]
    assert share["link_url"] == f"{singer.base_url}{page}"
    assert (shown["title"], shown["link_url"]) == (song.track["title"], share["link_url"])
    assert (heard.status, len(heard.raw)) == (206, 100)
    assert seen.status == 200
    assert seen.headers["Content-Type"].startswith("text/html")
    assert b"<audio" in seen.raw
    assert b"og:title" in seen.raw
    assert listed[0]["share_code"] == share["share_code"]
    assert listed[0]["view_count"] >= 1
    assert gone.refusal == (410, 50002, "SHARE_REVOKED")
    assert gone_page.status == 410
    assert b"<audio" not in gone_page.raw


async def test_a_presigned_upload_becomes_a_ready_asset(arrive: Arrive, take: bytes) -> None:
    """Presign, PUT without a token, complete twice: one asset, ready."""
    person = await arrive()
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    signed = await person.call("POST", "/api/v1/assets/audio/presign", wish)
    async with Person(person.base_url) as bearer_of_the_address:
        put = await bearer_of_the_address.ask(
            "PUT", signed["upload_url"], data=io.BytesIO(take), headers=signed["headers"]
        )
    done = [await person.call("POST", f"/api/v1/assets/{signed['asset_id']}/complete", {}) for _ in range(2)]
    asset = await person.settled_asset(signed["asset_id"])

    assert put.status == 200
    assert {each["asset"]["asset_id"] for each in done} == {signed["asset_id"]}
    assert asset["state"] == "ready"
    assert len((await person.call("GET", "/api/v1/assets"))["assets"]) == 1


async def test_the_older_paths_answer(arrive: Arrive, hum: Path, song: Song, singer: Person) -> None:
    """The five paths of older clients are still answered."""
    person = await arrive()
    status = await singer.call("GET", f"/api/music/{song.job_id}/status")
    with hum.open("rb") as file:
        upload = await person.ask("POST", "/api/file/upload", data={"file": file})
    asset_id = upload.body["data"]["asset"]["asset_id"]
    await person.settled_asset(asset_id)
    made = await person.ask("POST", "/api/music/generate", json={"assetId": asset_id, "durationS": 30})
    job_id = made.body["data"]["job_id"]
    await person.call("POST", f"/api/v1/jobs/{job_id}/cancel", {})
    wechat = await person.ask("POST", "/api/auth/wechat-auth", json={"code": "x"})

    assert status["job"]["state"] == "completed"
    assert upload.status == 201
    assert made.status == 201
    assert made.body["data"]["track"]["duration_s"] == 30
    assert wechat.refusal[1:] == (20003, "AUTH_PROVIDER_ERROR")
    await person.finished(job_id)


async def test_a_cancelled_song_gives_its_credits_back(arrive: Arrive, hum: Path) -> None:
    """Cancelling a running job ends it as cancelled within seconds and returns its credits once."""
    person = await arrive()
    created = await person.order((await person.ready_asset(hum))["asset_id"])
    path = f"/api/v1/jobs/{created['job_id']}"

    async def job() -> dict[str, object]:
        return dict((await person.call("GET", path))["job"])

    await until(job, lambda found: found["state"] == "running")
    async with asyncio.timeout(30):
        for _ in range(2):
            await person.call("POST", f"{path}/cancel", {})
        job_after = await person.finished(created["job_id"])
    await until(person.credits, lambda found: found == (100, 0))
    track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
    late = await person.ask("POST", f"{path}/cancel", json={})
    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]

    assert (job_after["state"], track["state"], track["variants"]) == ("cancelled", "cancelled", [])
    assert late.status in {200, 409}
    assert [(each["kind"], each["amount_credits"]) for each in entries] == [
        ("release", 20),
        ("hold", -20),
        ("signup_grant", 100),
    ]


async def test_a_song_cancelled_later_costs_its_finished_steps(mesh: RunningMesh, arrive: Arrive, hum: Path) -> None:
    """A cancelled song costs what its price asked for the finished steps when it was ordered; the rest comes back."""
    person = await arrive()
    asset = await person.ready_asset(hum)
    db = Database(mesh.environment["DATABASE_URL"])
    prices = Administration(db, now)
    usual = next(each for each in await Quotas(db, now, utc_offset=timedelta(0)).prices() if each.kind == "music")
    steps = (("audio_check", 1), ("audio_analyze", 3), ("music_generate", 10))
    other = replace(usual, valid_from=None, steps=steps)
    await prices.set_price("boss", request_id=new_id(), price=other, reason="test")
    created = await person.order(asset["asset_id"])
    await prices.set_price("boss", request_id=new_id(), price=replace(usual, valid_from=None), reason="test")
    await db.close()
    path = f"/api/v1/jobs/{created['job_id']}"

    async def job() -> dict[str, Any]:
        return dict((await person.call("GET", path))["job"])

    await until(job, lambda found: found["step"] == "music_generate", pause_s=0.05)
    await person.call("POST", f"{path}/cancel", {})
    done = await person.finished(created["job_id"])
    await until(person.credits, lambda found: found == (96, 0))
    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]

    assert done["state"] == "cancelled"
    assert [(each["kind"], each["amount_credits"]) for each in entries] == [
        ("settle", 16),
        ("hold", -20),
        ("signup_grant", 100),
    ]


async def test_the_same_key_makes_one_song(arrive: Arrive, hum: Path) -> None:
    """The first answer is repeated for the same Idempotency-Key and body, another body is refused, one song is made."""
    person = await arrive()
    wish = {"asset_id": (await person.ready_asset(hum))["asset_id"], **WISHES}
    key = {"Idempotency-Key": "story-1"}
    first = await person.ask("POST", "/api/v1/tracks", json=wish, headers=key)
    repeat = await person.ask("POST", "/api/v1/tracks", json=wish, headers=key)
    other = await person.ask("POST", "/api/v1/tracks", json=wish | {"title": "Other"}, headers=key)
    listed = (await person.call("GET", "/api/v1/tracks"))["tracks"]
    held = await person.credits()
    await person.call("POST", f"/api/v1/jobs/{first.body['data']['job_id']}/cancel", {})

    assert (first.status, repeat.status) == (201, 201)
    assert repeat.body["data"]["track_id"] == first.body["data"]["track_id"]
    assert other.refusal == (422, 10006, "IDEMPOTENCY_KEY_REUSED")
    assert [each["track_id"] for each in listed] == [first.body["data"]["track_id"]]
    assert held == (80, 20)
    await until(person.credits, lambda found: found == (100, 0))


async def test_the_owner_is_told_that_a_song_is_ready(singer: Person, song: Song) -> None:
    """The finished song is one notice in its owner's inbox, by its title and with the track to go to."""

    async def notices() -> list[dict[str, Any]]:
        found = (await singer.call("GET", "/api/v1/notifications"))["notifications"]
        return [each for each in found if each["subject_id"] == song.track_id]

    (told,) = await until(notices, bool, patience_s=20)
    assert (told["kind"], told["title"]) == ("song_ready", "Your song is ready")
    assert song.track["title"] in told["text"]
