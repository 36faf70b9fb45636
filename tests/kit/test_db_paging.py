"""Page tokens: what goes in comes out, and nothing else is let in."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.kit.db.paging import Key, clamp_page_size, decode_id, decode_token, encode_token
from services.kit.errors import ParamInvalid
from services.kit.ids import new_id

VALUES = some.one_of(
    some.text(some.characters(exclude_characters="\0", codec="utf-8"), max_size=30),
    some.integers(-(2**63) + 1, 2**63 - 1),
    some.datetimes(timezones=some.just(UTC)),
)


@given(some.lists(VALUES, min_size=1, max_size=4))
def test_a_token_gives_back_its_values(values: list[Key]) -> None:
    """Any sort key survives the way through a URL, with its types."""
    token = encode_token(*values)
    assert decode_token(token) == tuple(values)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_time_keeps_its_instant() -> None:
    """A time in another zone comes back as the same instant in UTC."""
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=8)))
    assert decode_token(encode_token(noon)) == (noon,)


def test_the_first_page_has_no_values() -> None:
    """The empty token is the first page."""
    assert decode_token("") == ()


def forged(value: object) -> str:
    """Return a token that holds any JSON."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.point(25)
@pytest.mark.parametrize(
    "token",
    [
        "!", "a", "小夜曲", "A" * 513, "====", forged({}), forged([]), forged([None]), forged([1.5]), forged([True]),
        forged([2**63]), forged(["\0"]), forged([[1]]), forged([{"t": "yesterday"}]), forged([{"t": "2026-01-01"}]),
        forged([1, 2, 3, 4, 5]), forged([{"t": 5}]), forged([{"t": "2026-01-01T00:00:00Z", "u": 1}]),
    ],
)  # fmt: skip
def test_a_forged_token_is_a_fault_of_its_field(token: str) -> None:
    """Garbage is refused as PARAM_INVALID for page_token."""
    with pytest.raises(ParamInvalid) as refused:
        decode_token(token)
    assert refused.value.violations[0].field == "page_token"


@pytest.mark.parametrize(("size", "rows"), [(0, 20), (-5, 20), (1, 1), (100, 100), (101, 100), (10**9, 100)])
def test_page_sizes_are_clamped(size: int, rows: int) -> None:
    """Nothing asked gives the default, too much gives the most."""
    assert clamp_page_size(size) == rows


def test_an_id_comes_back_and_nothing_else_is_one() -> None:
    """The id a page ended with is read from its token, none from the first page's; any other value is refused."""
    last = new_id()
    assert decode_id(encode_token(last)) == last
    assert decode_id("") == ""
    for values in (("no id",), (7,), (last, last), (datetime(2031, 5, 4, tzinfo=UTC),)):
        with pytest.raises(ParamInvalid, match="page_token"):
            decode_id(encode_token(*values))
