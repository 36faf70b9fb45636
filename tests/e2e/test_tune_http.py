"""What becomes of a tune beside the song: looked at, changed, taken away, made again byte for byte."""

import asyncio
import io
import re
import statistics
import sys
from pathlib import Path

import pretty_midi
import pytest

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song, until


async def test_a_song_is_taken_away_as_midi_and_chords(singer: Person, song: Song) -> None:
    """Each variant is saved as a MIDI file that others can read, as long as its sound, and shows its chords as text."""
    for variant in song.track["variants"]:
        saved = await singer.ask("GET", variant["midi_url"])
        assert saved.status == 200
        assert saved.headers["Content-Type"] == "audio/midi"
        assert re.search(r"attachment; .*\.mid", saved.headers["Content-Disposition"])
        midi = pretty_midi.PrettyMIDI(io.BytesIO(saved.raw))
        assert len(midi.instruments) == len(variant["instruments"])
        assert midi.get_end_time() == pytest.approx(variant["duration_ms"] / 1000, abs=4.0)
        assert variant["chord_sheet"].startswith(song.track["title"])
        assert [name for name in variant["chords"] if name not in variant["chord_sheet"]] == []
    listed = (await singer.call("GET", "/api/v1/tracks"))["tracks"][0]["variants"]
    assert [each["chord_sheet"] for each in listed] == ["", ""]


async def test_the_tune_that_was_heard_can_be_looked_at(singer: Person, song: Song, arrive: Arrive) -> None:
    """The curve of the voice lies on the notes that were read from it; a stranger is told of no such track."""
    path = f"/api/v1/tracks/{song.track_id}/tune"
    tune = await singer.call("GET", path)
    step, curve = tune["f0_step_ms"], tune["f0_cents"]
    away = []
    for note in tune["analysis"]["notes"]:
        sung = [each for each in curve[note["start_ms"] // step : note["end_ms"] // step] if each]
        away.append(abs(statistics.median(sung) - 100 * note["pitch"]))

    assert tune["analysis"] == song.track["analysis"]
    assert statistics.median(away) < 50
    assert len(curve) * step == pytest.approx(song.asset["duration_ms"], abs=200)
    assert (await (await arrive()).ask("GET", path)).status == 404


async def test_another_song_is_made_of_a_changed_tune(arrive: Arrive, hum: Path) -> None:
    """A corrected and transposed tune makes a second song without the take being heard again, for the same price."""
    person = await arrive()
    asset = await person.ready_asset(hum)
    first = await person.order(asset["asset_id"])
    await person.finished(first["job_id"])
    source = (await person.call("GET", f"/api/v1/tracks/{first['track_id']}"))["track"]
    notes = [{**note, "pitch": note["pitch"] + 2 * (at == 0)} for at, note in enumerate(source["analysis"]["notes"])]
    change = {"notes": notes, "transpose_semitones": 2, "tempo_bpm": 100.0}
    wish = {"source_track_id": source["track_id"], "tune_change": change, "style": "folk", "duration_s": 30, "seed": 7}
    created = await person.call("POST", "/api/v1/tracks", wish)
    job = await person.finished(created["job_id"])
    track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]

    assert (job["state"], track["state"], track["title"]) == ("completed", "ready", source["title"])
    assert [note["pitch"] for note in track["analysis"]["notes"]] == [note["pitch"] + 2 for note in notes]
    assert track["analysis"]["tempo_bpm"] == track["variants"][0]["tempo_bpm"] == 100.0
    assert {each["style"] for each in track["variants"]} == {"folk"}
    assert await until(person.credits, lambda found: found[1] == 0) == (60, 0)


async def test_a_tune_that_is_not_ones_own_or_wrong_is_refused(arrive: Arrive, song: Song) -> None:
    """Another person's track is not found, a wrong note is named, and neither costs anything."""
    stranger = await arrive()
    wish = {"source_track_id": song.track_id, "duration_s": 30}
    foreign = await stranger.ask("POST", "/api/v1/tracks", json=wish)
    wrong = {**wish, "tune_change": {"notes": [{"start_ms": 10, "end_ms": 5, "pitch": 60}]}}
    named = await stranger.ask("POST", "/api/v1/tracks", json=wrong)

    assert foreign.status == 404
    assert named.status == 400
    assert "tune_change.notes[0]" in named.raw.decode()
    assert await stranger.credits() == (100, 0)


async def _replayed(mesh: RunningMesh, track_id: str, out: Path) -> tuple[int | None, str]:
    """Return the status of `cadenza replay` and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.mesh", "replay", track_id, "--out", str(out)),
        env=mesh.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_a_song_is_made_again_from_what_was_kept(
    singer: Person, song: Song, mesh: RunningMesh, tmp_path: Path
) -> None:
    """The recipe kept with a track gives the very bytes that were stored; with another seed others, and it says so."""
    status, told = await _replayed(mesh, song.track_id, tmp_path)
    assert (status, told.count("the same bytes as the first time")) == (0, 2), told
    for variant in song.track["variants"]:
        made = tmp_path / variant["label"]
        assert made.with_suffix(".mp3").read_bytes() == (await singer.ask("GET", variant["audio_url"])).raw
        assert made.with_suffix(".mid").read_bytes() == (await singer.ask("GET", variant["midi_url"])).raw
        assert made.with_suffix(".txt").read_text(encoding="utf-8") == variant["chord_sheet"]

    db = Database(mesh.environment["DATABASE_URL"])
    other = """UPDATE composer.recipes SET "order" = jsonb_set("order", '{seed}', to_jsonb($2::bigint))
               WHERE track_id = $1 RETURNING "order"->>'seed'"""
    before = """SELECT ("order"->>'seed')::bigint FROM composer.recipes WHERE track_id = $1"""
    seed = (await db.prepared.fetch(before, song.track_id))[0][0]
    try:
        await db.prepared.fetch(other, song.track_id, seed + 1)
        status, told = await _replayed(mesh, song.track_id, tmp_path)
    finally:
        await db.prepared.fetch(other, song.track_id, seed)
        await db.close()
    assert (status, told.count("other bytes by the same version")) == (1, 2), told


async def test_what_cannot_be_made_again_is_told(mesh: RunningMesh, tmp_path: Path) -> None:
    """A track that is not there, or text that is no id, is a sentence and status 1."""
    for wrong, words in ((new_id(), "no living track has this id"), ("song", "is not the id of a track")):
        status, told = await _replayed(mesh, wrong, tmp_path)
        assert status == 1
        assert words in told
        assert "Traceback" not in told
