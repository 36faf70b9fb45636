"""What Composer decides about tracks: a table for each rule."""

from datetime import UTC, datetime

import pytest

from services.composer.domain.errors import TrackNotReady, VariantNotFound
from services.composer.domain.track import Track, TrackState, Variant, Wishes, clean_line, clean_text, state_after
from services.composer.domain.tune import TuneChange
from services.kit.errors import ParamInvalid
from services.kit.jobs.states import State

TODAY = datetime(2026, 11, 5, 8, 30, tzinfo=UTC)


def wishes(**changes: object) -> Wishes:
    """Return the cleaned form of wishes that say nothing but what is changed."""
    said = {"asset_id": "a", "title": "", "style": "", "mood": "", "lyrics": "", "voice_gender": "", "duration_s": 0}
    return Wishes.cleaned(**{**said, "seed": 0, "today": TODAY, **changes})  # type: ignore[arg-type]


def track(state: TrackState) -> Track:
    """Return a track with the variants v1 and v2 if it is ready."""
    made = tuple(
        Variant(
            variant_id=f"v{number}",
            track_id="t",
            label=label,
            asset_id="a",
            duration_ms=1,
            style="pop",
            key="C major",
            tempo_bpm=100.0,
            melody_score=1.0,
            loudness_lufs=-14.0,
            score=1.0,
            recommended=label == "A",
        )
        for number, label in enumerate("AB", 1)
    )
    return Track(
        track_id="t",
        user_id="u",
        title="Song",
        style="",
        mood="",
        lyrics="",
        voice_gender="",
        duration_s=75,
        seed=1,
        asset_id="a",
        job_id="j",
        state=state,
        analysis=None,
        chosen_variant_id="",
        cover_asset_id="",
        provider="",
        cost_credits=20,
        request_id="",
        request_hash="",
        platform="",
        create_time=TODAY,
        update_time=TODAY,
        variants=made if state is TrackState.READY else (),
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain words", "plain words"),
        ("  夏天的风 🎵 ", "夏天的风 🎵"),
        ("<b>bold</b> move", "bold move"),
        ("<script>alert(1)</script>", "alert(1)"),
        ("<!-- x -->a<?php x ?>b", "ab"),
        ("<scr<b>ipt>x", "scriptx"),
        ("<\0script>x", "x"),
        ("I <3 you", "I <3 you"),
        ("1 < 2 > 0", "1 < 2 > 0"),
        ("tab\tstays, bell\a goes", "tab\tstays, bell goes"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\x7fb\x9bc\u202ed", "abcd"),
        ("<img src=x onerror=alert(1)", "<img src=x onerror=alert(1)"),
    ],
)
def test_texts_are_words_and_not_markup(said: str, kept: str) -> None:
    """Tags, nested ones too, and controls go; words stay, also those with a bare angle bracket."""
    assert clean_text(said) == kept


def test_a_deep_nest_of_tags_leaves_no_tag() -> None:
    """The longest text of nothing but nested tags is cleaned without a pass for every level."""
    assert "<" not in clean_text("<a" * 3000 + ">" * 3000)


def test_a_line_has_no_breaks() -> None:
    """Titles, styles and moods are one line each; lyrics keep theirs."""
    assert clean_line(" two\nlines\tand  more ") == "two lines and more"
    said = wishes(title="a\nb", style="c\nd", mood="e\nf", lyrics="g\nh")
    assert (said.title, said.style, said.mood, said.lyrics) == ("a b", "c d", "e f", "g\nh")


@pytest.mark.parametrize("title", ["", "   ", "<b></b>", "\0"])
def test_a_song_without_a_title_gets_the_date(title: str) -> None:
    """A title with nothing in it becomes one made from the date."""
    assert wishes(title=title).title == "Hum 2026-11-05 08:30"


@pytest.mark.parametrize(
    ("lyrics", "title"),
    [
        ("[verse]\n\n <b>海边</b>的夏天\n风", "海边的夏天"),
        ("[verse]", "Song 2026-11-05 08:30"),
        ("x" * 100, "x" * 64),
    ],
)
def test_words_alone_are_called_by_their_first_line(lyrics: str, title: str) -> None:
    """A song of words alone without a title is called by the first line that is sung, or by the date."""
    assert wishes(asset_id="", lyrics=lyrics).title == title


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"asset_id": ""}, "asset_id"),
        ({"asset_id": "", "lyrics": "🎸 ♪"}, "lyrics"),
        ({"source_track_id": "t"}, "asset_id"),
        ({"asset_id": "", "lyrics": "a", "lyrics_version_id": "v"}, "lyrics_version_id"),
        ({"asset_id": "", "lyrics": "a", "tune_change": TuneChange()}, "tune_change"),
    ],
)
def test_a_song_needs_a_tune_or_words(said: dict[str, object], field: str) -> None:
    """Neither tune nor words that can be sung, or two of a kind, are refused with the name of the field."""
    with pytest.raises(ParamInvalid) as refused:
        wishes(**said)
    assert [each.field for each in refused.value.violations] == [field]
    assert wishes(asset_id="", lyrics_version_id="v").title == ""


@pytest.mark.parametrize(("asked", "kept"), [(0, 75), (30, 30), (31, 31), (180, 180)])
def test_lengths_that_a_song_may_have(asked: int, kept: int) -> None:
    """Nothing said means 75 seconds; from 30 to 180 is kept."""
    assert wishes(duration_s=asked).duration_s == kept


@pytest.mark.parametrize("asked", [-1, 1, 29, 181])
def test_lengths_that_no_song_has(asked: int) -> None:
    """Any other length is refused with the name of the field."""
    with pytest.raises(ParamInvalid) as refused:
        wishes(duration_s=asked)
    assert [each.field for each in refused.value.violations] == ["duration_s"]


def test_choosing() -> None:
    """A variant of the track can be chosen, another one is not found."""
    assert track(TrackState.READY).variant("v2").label == "B"
    with pytest.raises(VariantNotFound):
        track(TrackState.READY).variant("v3")


@pytest.mark.parametrize("state", [TrackState.GENERATING, TrackState.FAILED, TrackState.CANCELLED])
def test_nothing_to_choose_from(state: TrackState) -> None:
    """A track that is not ready has nothing to choose from."""
    with pytest.raises(TrackNotReady):
        track(state).variant("v1")


@pytest.mark.parametrize(
    ("job", "then"),
    [
        (State.PENDING, TrackState.GENERATING),
        (State.QUEUED, TrackState.GENERATING),
        (State.RUNNING, TrackState.GENERATING),
        (State.COMPLETED, TrackState.READY),
        (State.FAILED, TrackState.FAILED),
        (State.CANCELLED, TrackState.CANCELLED),
    ],
)
def test_a_track_stands_where_its_job_stands(job: State, then: TrackState) -> None:
    """Every state of a job has one state of the track."""
    assert state_after(job) is then


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"asset_id": ""}, "asset_id"),
        ({"source_track_id": "t"}, "asset_id"),
    ],
)
def test_a_song_has_one_tune(changes: dict[str, object], field: str) -> None:
    """A song is made of a recording or of another song's tune, of one of them only."""
    with pytest.raises(ParamInvalid) as refused:
        wishes(**changes)
    assert field in str(refused.value.metadata)


def test_a_song_of_another_ones_tune_has_its_title_later() -> None:
    """Without a title it is left open for the one of the other song, and a given one is kept."""
    assert wishes(asset_id="", source_track_id="t").title == ""
    assert wishes(asset_id="", source_track_id="t", title="Mine").title == "Mine"
