"""Words become songs with a voice over HTTP, without any recording."""

import asyncio
import io
import zipfile
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
from numpy.typing import NDArray

from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, until
from tests.e2e.sounds import decoded

WORDS = "[verse]\n海边的夏天风很大\n你来看我写的名字\n[chorus]\n请你记得今晚的月光\n请你记得 my song 🎸"


@pytest.mark.timeout(300)
async def test_words_alone_become_a_song(arrive: Arrive) -> None:
    """Words without a recording make two variants with a voice, twenty credits paid, and a time for every syllable."""
    person = await arrive()
    wishes = {"lyrics": WORDS, "voice_gender": "male", "title": "潮水", "style": "流行", "duration_s": 30, "seed": 5}
    made = await person.call("POST", "/api/v1/tracks", wishes)
    job = await person.finished(made["job_id"])
    track = (await person.call("GET", f"/api/v1/tracks/{made['track_id']}"))["track"]

    assert (job["state"], track["state"], track["asset_id"]) == ("completed", "ready", "")
    assert track.get("analysis") is None
    for variant in track["variants"]:
        assert "voice male" in variant["instruments"]
        assert [line["text"] for line in variant["lines"][:4]] == WORDS.splitlines()[1:3] + WORDS.splitlines()[4:6]
        last = [syllable["text"] for syllable in variant["lines"][3]["syllables"]]
        assert last == ["请", "你", "记", "得", "my ", "song"]
        times = [
            moment
            for line in variant["lines"]
            for syllable in line["syllables"]
            for moment in (syllable["start_ms"], syllable["end_ms"])
        ]
        assert times == sorted(times)
        assert times[-1] < variant["duration_ms"]
        assert variant["melody_score"] > 0.6
        sound = await person.ask("GET", variant["audio_url"])
        assert sound.headers["Content-Type"] == "audio/mpeg"
    listed = (await person.call("GET", "/api/v1/tracks"))["tracks"][0]
    assert [variant["lines"] for variant in listed["variants"]] == [[], []]
    await until(person.credits, lambda found: found == (80, 0))
    await _taken_away(person, track)


async def _taken_away(person: Person, track: dict[str, Any]) -> None:
    """Check what the owner takes away of version A: MIDI, chord sheet, WAV and stems, all with the voice in it."""
    variant = track["variants"][0]
    saved = (await person.ask("GET", variant["midi_url"])).raw
    sung = [syllable for line in variant["lines"] for syllable in line["syllables"]]
    found = _lyrics(saved)
    assert [text for text, _ in found] == [each["text"] for each in sung]
    assert [moment for _, moment in found] == pytest.approx([each["start_ms"] for each in sung], abs=3)
    assert {each.name for each in pretty_midi.PrettyMIDI(io.BytesIO(saved)).instruments} >= {"voice male", "bass"}
    sheet = variant["chord_sheet"].splitlines()
    for line in variant["lines"]:
        above = sheet[sheet.index(line["text"]) - 1].split()
        assert above
        assert set(above) <= set(variant["chords"])

    wish = {"track_id": track["track_id"], "variant_id": variant["variant_id"]}
    asked = (await person.call("POST", "/api/v1/exports", wish))["export"]

    async def look() -> dict[str, Any]:
        return dict((await person.call("GET", f"/api/v1/exports/{asked['export_id']}"))["export"])

    made = await until(look, lambda found: found["state"] != "generating")
    assert made["state"] == "ready", made
    assert "voice male" in made["stems"]
    wav, packed = [(await person.ask("GET", made[name])).raw for name in ("wav_url", "stems_url")]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        name = next(each for each in archive.namelist() if "voice male" in each)
        voice, rate = await asyncio.to_thread(decoded, archive.read(name))
    master, _ = await asyncio.to_thread(decoded, wav)
    assert len(voice) == len(master) == pytest.approx(variant["duration_ms"] / 1000 * rate, abs=rate / 10)
    lines = [(line["start_ms"] / 1000, line["end_ms"] / 1000) for line in variant["lines"]]
    heard = [_level_db(voice[round(start * rate) : round(end * rate)]) for start, end in lines]
    assert min(heard) > -40.0
    assert _level_db(voice[: round((lines[0][0] - 1.0) * rate)]) < min(heard) - 40.0


def _lyrics(saved: bytes) -> list[tuple[str, float]]:
    """Return the words in the singer's track as an independent reader finds them, with their milliseconds."""
    file = mido.MidiFile(file=io.BytesIO(saved), charset="utf-8")
    tempo = next(message.tempo for message in file.tracks[0] if message.type == "set_tempo")
    found, tick = [], 0
    for message in next(track for track in file.tracks if track.name == "voice male"):
        tick += message.time
        if message.type == "lyrics":
            found.append((message.text, 1000.0 * mido.tick2second(tick, file.ticks_per_beat, tempo)))
    return found


def _level_db(sound: NDArray[np.float32]) -> float:
    return float(10.0 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12))


async def test_words_that_nobody_can_sing(arrive: Arrive) -> None:
    """Without a recording, words in which nothing can be sung are refused by name and cost nothing."""
    person = await arrive()
    for wishes, field in (({"lyrics": "🎸 ♪ שלום"}, "lyrics"), ({}, "asset_id")):
        answer = await person.ask("POST", "/api/v1/tracks", json={**wishes, "duration_s": 30})
        assert answer.refusal == (400, 10001, "PARAM_INVALID")
        assert answer.fields == {field}
    assert await person.credits() == (100, 0)
