"""Words become songs with a voice over HTTP, without any recording."""

import pytest

from tests.e2e.conftest import Arrive
from tests.e2e.people import until

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


async def test_words_that_nobody_can_sing(arrive: Arrive) -> None:
    """Without a recording, words in which nothing can be sung are refused by name and cost nothing."""
    person = await arrive()
    for wishes, field in (({"lyrics": "🎸 ♪ שלום"}, "lyrics"), ({}, "asset_id")):
        answer = await person.ask("POST", "/api/v1/tracks", json={**wishes, "duration_s": 30})
        assert answer.refusal == (400, 10001, "PARAM_INVALID")
        assert answer.fields == {field}
    assert await person.credits() == (100, 0)
