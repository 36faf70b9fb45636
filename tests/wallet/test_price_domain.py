"""Which version of a price holds, as a table over the times at which they begin."""

from datetime import UTC, datetime, timedelta

import pytest

from services.kit.errors import ParamInvalid
from services.wallet.domain.credit import Price
from services.wallet.domain.errors import PriceChanged
from services.wallet.domain.price import current, following_version, owed, quoted

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WINDOW = 15 * MINUTE


def _versions(*begins_minutes_ago: int) -> list[Price]:
    return [
        Price("music", 10 * number, number, NOW - ago * MINUTE)
        for number, ago in enumerate(begins_minutes_ago, start=1)
    ]


@pytest.mark.parametrize(
    ("begins", "wanted", "got"),
    [
        ((100,), 0, 1),
        ((100,), 1, 1),
        ((100, 10), 0, 2),
        ((100, 10), 1, 1),  # superseded ten minutes ago: still good
        ((100, 14), 1, 1),
        ((100, 15), 1, None),  # the window has just closed
        ((100, 0), 0, 2),  # begins this instant
        ((100, -5), 0, 1),  # the next one has not begun
        ((100, -5), 1, 1),
        ((100, -5), 2, None),  # nobody can have been quoted it
        ((100, 50, 10), 2, 2),
        ((100, 50, 10), 1, None),
        ((100, 50, 10), 4, None),
        ((100, 12, 10), 1, 1),  # two changes within one window: the first quote lasts as long as promised
    ],
)
def test_a_quote_is_good_until_a_while_after_the_next_price(
    begins: tuple[int, ...], wanted: int, got: int | None
) -> None:
    """The named version, or the current one for 0, or a refusal that tells the price of now."""
    versions = _versions(*begins)
    if got is not None:
        assert quoted(versions, wanted, NOW, window=WINDOW).version == got
        return
    with pytest.raises(PriceChanged) as caught:
        quoted(versions, wanted, NOW, window=WINDOW)
    now = current(versions, NOW)
    assert now is not None
    assert caught.value.metadata == {"kind": "music", "version": str(now.version), "amount": str(now.amount)}


@pytest.mark.parametrize("versions", [[], _versions(-1)])
def test_a_kind_without_a_price_cannot_be_held(versions: list[Price]) -> None:
    """Neither an unknown kind nor one whose first price lies in the future has a price."""
    assert current(versions, NOW) is None
    with pytest.raises(ParamInvalid) as caught:
        quoted(versions, 0, NOW, window=WINDOW)
    assert caught.value.violations[0].field == "price_kind"


def test_versions_follow_each_other() -> None:
    """The next version has the next number and cannot begin before the last one."""
    assert following_version([], Price("opera", 5), NOW).version == 1
    assert following_version(_versions(100, 10), Price("music", 5), NOW) == Price("music", 5, 3, NOW)
    assert following_version(_versions(100, 0), Price("music", 5), NOW).version == 3
    with pytest.raises(ParamInvalid) as caught:
        following_version(_versions(100, -10), Price("music", 5), NOW)
    assert caught.value.violations[0].field == "valid_from_time"


@pytest.mark.parametrize(
    "steps", [(("listen", 3), ("sing", 3)), (("listen", 6),), (("listen", 1), ("listen", 2)), (("listen", 5),)]
)
def test_steps_cost_no_more_than_the_whole(steps: tuple[tuple[str, int], ...]) -> None:
    """A price whose steps cost more together than a run, or that names one twice, is refused by the field's name."""
    wanted = Price("opera", 5, steps=steps)
    if steps == (("listen", 5),):
        assert following_version([], wanted, NOW).steps == steps
        return
    with pytest.raises(ParamInvalid) as caught:
        following_version([], wanted, NOW)
    assert caught.value.violations[0].field == "steps"


def test_finished_steps_are_owed() -> None:
    """What is owed is the sum over those finished steps that the price names."""
    price = Price("opera", 20, steps=(("listen", 3), ("sing", 7)))
    assert [owed(price, done) for done in ((), ("listen",), ("sing", "mix"), ("sing", "listen"))] == [0, 3, 7, 10]
