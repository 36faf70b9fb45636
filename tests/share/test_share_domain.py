"""Codes, links and what a listener hears."""

from dataclasses import replace

import pytest

from services.share.domain.share import ALPHABET, CODE_LENGTH, Variant, is_code, link, new_code, pick

_A = Variant(
    variant_id="a",
    audio_url="http://a",
    duration_ms=1,
    style="",
    key="",
    tempo_bpm=0.0,
    peaks=(),
    chords=(),
    recommended=False,
)
_B = replace(_A, variant_id="b", audio_url="http://b", recommended=True)


def test_codes() -> None:
    """Twenty thousand codes differ, fit into an address, and hold no letters that look alike."""
    codes = {new_code() for _ in range(20_000)}

    assert len(codes) == 20_000
    assert all(is_code(code) for code in codes)
    assert not set("0Oo1lI") & set().union(*codes)
    # Every letter turns up in every place: no place of a code is easier to guess.
    assert all({code[place] for code in codes} == set(ALPHABET) for place in range(CODE_LENGTH))


@pytest.mark.parametrize("text", ["", "short", "elevenchars", "tencharsO0", "../../etc/", "夏天的风夏天的风夏天"])
def test_no_codes(text: str) -> None:
    """What cannot be a code is known to be none without asking anybody."""
    assert not is_code(text)


@pytest.mark.parametrize("public_url", ["https://cadenza.example", "https://cadenza.example/"])
def test_link(public_url: str) -> None:
    """A page's address is the public address with /s/ and the code."""
    assert link(public_url, "abcdefghjk") == "https://cadenza.example/s/abcdefghjk"


@pytest.mark.parametrize(
    ("variants", "chosen", "heard"),
    [
        ([_A, _B], "a", "a"),
        ([_A, _B], "", "b"),
        ([_A, _B], "gone", "b"),
        ([_A, replace(_B, recommended=False)], "", "a"),
        ([replace(_A, audio_url=""), _B], "a", "b"),
        ([replace(_A, audio_url="")], "", None),
        ([], "", None),
    ],
)
def test_pick(variants: list[Variant], chosen: str, heard: str | None) -> None:
    """A listener hears the chosen variant, else the recommended one, else the first that can be heard."""
    variant = pick(variants, chosen)

    assert (variant.variant_id if variant else None) == heard
