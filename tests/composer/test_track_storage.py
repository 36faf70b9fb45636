"""The statements about tracks on real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from services.composer.domain.track import Track, TrackState, Variant
from services.composer.storage import track as storage
from services.kit.db.engine import Database
from services.kit.ids import new_id

AT = datetime(2026, 11, 5, 8, 30, tzinfo=UTC)
# Whatever was put away before that is gone for good.
LATER = AT + timedelta(days=31)


def new_track(user_id: str = "", **changes: Any) -> Track:
    """Return a track that was just asked for."""
    made = Track(
        track_id=new_id(),
        user_id=user_id or new_id(),
        title="夏天的风",
        style="folk",
        mood="calm",
        lyrics="la\nla",
        voice_gender="female",
        duration_s=75,
        seed=4294967295,
        asset_id=new_id(),
        job_id=new_id(),
        state=TrackState.GENERATING,
        analysis=None,
        chosen_variant_id="",
        cover_asset_id="",
        provider="",
        cost_credits=0,
        request_id="",
        request_hash="",
        platform="web",
        create_time=AT,
        update_time=AT,
    )
    return replace(made, **changes)


def new_variant(track_id: str, label: str) -> Variant:
    """Return a variant of the track."""
    return Variant(
        variant_id=new_id(),
        track_id=track_id,
        label=label,
        asset_id=new_id(),
        duration_ms=61_000,
        style="folk",
        key="D minor",
        tempo_bpm=97.25,
        melody_score=0.91,
        loudness_lufs=-14.05,
        score=0.8,
        recommended=label == "B",
        chords=["Dm", "A7"],
        instruments=["guitar"],
        remarks=["clearer_melody"],
    )


async def stored(db: Database, *tracks: Track) -> None:
    """Write the tracks."""
    async with db.transaction() as tx:
        for each in tracks:
            await storage.add(tx, each)


async def test_a_track_comes_back_as_it_went(db: Database) -> None:
    """Every field of a track and of its variants survives, variants in the order of their labels."""
    track = new_track(analysis={"key": "D minor"}, chosen_variant_id=new_id(), cover_asset_id=new_id())
    variants = (new_variant(track.track_id, "A"), new_variant(track.track_id, "B"))
    await stored(db, track)
    async with db.transaction() as tx:
        await storage.add_variants(tx, tuple(reversed(variants)))
        assert await storage.find(tx, track.track_id) == replace(track, variants=variants)


async def test_only_the_owner_finds_a_track(db: Database) -> None:
    """A track is found by its owner and by nobody else; without a user anybody's is found."""
    track = new_track()
    await stored(db, track)
    async with db.transaction() as tx:
        assert await storage.find(tx, track.track_id, user_id=track.user_id)
        assert await storage.find(tx, track.track_id, user_id=new_id()) is None
        assert await storage.find(tx, track.track_id)


async def test_a_track_put_away_is_not_found(db: Database) -> None:
    """A track with a delete time is in no answer except that to its own request id."""
    track = new_track(request_id="r1", request_hash="h")
    await stored(db, track)
    async with db.transaction() as tx:
        await storage.change(tx, track.track_id, AT, delete_time=AT)
        assert await storage.find(tx, track.track_id) is None
        assert await storage.page(tx, track.user_id, before="", size=10) == []
        assert not await storage.asset_in_use(tx, track.asset_id, trashed_since=LATER)
        found = await storage.find_by_request(tx, track.user_id, "r1")
    assert found is not None
    assert found.track_id == track.track_id


async def test_pages_go_from_new_to_old(db: Database) -> None:
    """Pages hold the user's tracks, the newest first, and go on below the last id."""
    user_id = new_id()
    made = [new_track(user_id) for _ in range(3)]
    await stored(db, *made, new_track())
    async with db.transaction() as tx:
        first = await storage.page(tx, user_id, before="", size=2)
        second = await storage.page(tx, user_id, before=first[-1].track_id, size=2)
    assert [each.track_id for each in first + second] == [each.track_id for each in reversed(made)]


async def test_variants_find_their_own_track(db: Database) -> None:
    """One query for a page of tracks gives each its own variants."""
    user_id = new_id()
    one, other = new_track(user_id), new_track(user_id)
    await stored(db, one, other)
    async with db.transaction() as tx:
        await storage.add_variants(tx, [new_variant(one.track_id, "A"), new_variant(other.track_id, "B")])
        page = await storage.page(tx, user_id, before="", size=10)
    assert {each.track_id: [v.label for v in each.variants] for each in page} == {
        one.track_id: ["A"],
        other.track_id: ["B"],
    }


@pytest.mark.parametrize(
    "changes",
    [{"duration_s": 29}, {"duration_s": 181}, {"title": ""}, {"title": "x" * 129}, {"lyrics": "x" * 10_001}],
)
async def test_the_database_refuses_what_no_track_can_be(db: Database, changes: dict[str, Any]) -> None:
    """Limits hold in the table too, whatever code forgets them."""
    with pytest.raises(IntegrityError):
        await stored(db, new_track(**changes))


async def test_a_request_id_makes_one_track(db: Database) -> None:
    """The same request id of the same user is refused by the table; another user's and none at all are not."""
    user_id = new_id()
    await stored(db, new_track(user_id, request_id="r"), new_track(request_id="r"))
    await stored(db, new_track(user_id), new_track(user_id))
    with pytest.raises(IntegrityError):
        await stored(db, new_track(user_id, request_id="r"))


async def test_a_label_is_taken_once(db: Database) -> None:
    """A track has one variant A and one B and none other."""
    track = new_track()
    await stored(db, track)
    for second in (new_variant(track.track_id, "A"), new_variant(track.track_id, "C")):
        with pytest.raises(IntegrityError):
            async with db.transaction() as tx:
                await storage.add_variants(tx, [new_variant(track.track_id, "A"), second])


async def test_changing(db: Database) -> None:
    """A change sets its columns and the update time of one track only."""
    track, other = new_track(), new_track()
    await stored(db, track, other)
    later = AT + timedelta(seconds=5)
    async with db.transaction() as tx:
        await storage.change(tx, track.track_id, later, title="New")
        assert await storage.find(tx, track.track_id) == replace(track, title="New", update_time=later)
        assert await storage.find(tx, other.track_id) == other


async def test_the_state_follows_the_job(db: Database) -> None:
    """The job's id finds the track whose state it settles, unless that was put away."""
    track, away = new_track(), new_track()
    await stored(db, track, away)
    async with db.transaction() as tx:
        await storage.change(tx, away.track_id, AT, delete_time=AT)
        await storage.settle_state(tx, track.job_id, TrackState.FAILED, AT)
        await storage.settle_state(tx, away.job_id, TrackState.FAILED, AT)
        found = await storage.find(tx, track.track_id)
        assert found is not None
        assert found.state is TrackState.FAILED
        await storage.change(tx, away.track_id, AT, delete_time=None)
        assert (await storage.find(tx, away.track_id)) == away


async def test_which_assets_are_in_the_making(db: Database) -> None:
    """An asset is in use while a living track that is being made reads it."""
    track = new_track()
    await stored(db, track)
    async with db.transaction() as tx:
        assert await storage.asset_in_use(tx, track.asset_id, trashed_since=LATER)
        assert not await storage.asset_in_use(tx, new_id(), trashed_since=LATER)
        await storage.settle_state(tx, track.job_id, TrackState.READY, AT)
        assert not await storage.asset_in_use(tx, track.asset_id, trashed_since=LATER)


async def test_what_a_track_plays_and_shows_is_in_use(db: Database) -> None:
    """The sounds, the scores and the cover of a living track are in use until the track is put away."""
    track = new_track()
    await stored(db, track)
    variant, cover = replace(new_variant(track.track_id, "A"), midi_asset_id=new_id()), new_id()
    used = (variant.asset_id, variant.midi_asset_id, cover)
    async with db.transaction() as tx:
        await storage.add_variants(tx, [variant])
        await storage.change(tx, track.track_id, AT, cover_asset_id=cover)
        assert [await storage.asset_in_use(tx, each, trashed_since=LATER) for each in used] == [True] * 3
        await storage.change(tx, track.track_id, AT, delete_time=AT)
        assert [await storage.asset_in_use(tx, each, trashed_since=LATER) for each in used] == [False] * 3


async def test_removing_takes_the_variants_along(db: Database) -> None:
    """A removed track has never been there."""
    track = new_track(request_id="r")
    await stored(db, track)
    async with db.transaction() as tx:
        await storage.add_variants(tx, [new_variant(track.track_id, "A")])
        await storage.remove(tx, track.track_id)
        assert await storage.find_by_request(tx, track.user_id, "r") is None
        assert (await storage.with_variants(tx, [track]))[0].variants == ()


async def test_the_users_lock(db: Database) -> None:
    """While one transaction holds a user's lock another one of the same user waits, and other users do not."""
    user_id = new_id()
    entered = asyncio.Event()

    async def second() -> None:
        async with db.transaction() as tx:
            await storage.lock_user(tx, user_id)
            entered.set()

    async with db.transaction() as tx:
        await storage.lock_user(tx, user_id)
        waiting = asyncio.create_task(second())
        async with db.transaction() as other:
            await storage.lock_user(other, new_id())
        await asyncio.sleep(0.1)
        assert not entered.is_set()
    await asyncio.wait_for(waiting, 10)
    assert entered.is_set()
