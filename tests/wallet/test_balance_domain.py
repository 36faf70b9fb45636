"""The life of a balance told from the lines of two accounts, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.errors import ParamInvalid
from services.wallet.domain.balance import Line, Position, changes, versions_at
from services.wallet.domain.credit import AccountKind, Balance, TransferKind

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EMPTY = Position(0, 0, Balance(0, 0, None))
USER, HELD = AccountKind.USER, AccountKind.USER_HELD


def _line(account: AccountKind, version: int, partner: int | None, amount: int, after: int, second: int = 0) -> Line:
    return Line(
        account=account,
        version=version,
        partner=partner,
        amount=amount,
        balance_after=after,
        kind=TransferKind.HOLD,
        description="music",
        reference_id="job",
        create_time=AT + timedelta(seconds=second),
    )


# A grant, two holds, one settled whole (which touches only what is held), a second grant.
GRANT = _line(USER, 1, None, 100, 100, 0)
HOLD_ONE = (_line(USER, 2, 1, -20, 80, 1), _line(HELD, 1, 2, 20, 20, 1))
HOLD_TWO = (_line(USER, 3, 2, -10, 70, 2), _line(HELD, 2, 3, 10, 30, 2))
SETTLED = _line(HELD, 3, None, -20, 10, 3)
MORE = _line(USER, 4, None, 5, 75, 4)
LIFE = [GRANT, HOLD_ONE[0], HOLD_TWO[0], MORE, HOLD_ONE[1], HOLD_TWO[1], SETTLED]


def test_a_life_is_told_in_order_with_the_balance_after_each_change() -> None:
    """Transfers of both accounts come once, in the order in which both accounts took them."""
    told = changes(EMPTY, LIFE)

    assert [(c.available_change, c.held_change) for c in told] == [(100, 0), (-20, 20), (-10, 10), (0, -20), (5, 0)]
    assert [(c.position.balance.available, c.position.balance.held) for c in told] == [
        (100, 0),
        (80, 20),
        (70, 30),
        (70, 10),
        (75, 10),
    ]
    sequences = [c.position.sequence for c in told]
    assert sequences == sorted(set(sequences))
    assert told[-1].position.balance.update_time == MORE.create_time


@pytest.mark.parametrize("cut", range(5))
def test_a_life_goes_on_from_any_place(cut: int) -> None:
    """Told again from any place, the rest of a life is the same."""
    whole = changes(EMPTY, LIFE)
    at = whole[cut].position
    rest = [line for line in LIFE if line.version > (at.user_version if line.account is USER else at.held_version)]

    assert changes(at, rest) == whole[cut + 1 :]


def test_half_a_transfer_waits_for_its_other_half() -> None:
    """When the other line of a transfer has not been read yet, the change is told with the next lines."""
    told = changes(EMPTY, [GRANT, HOLD_ONE[0]])

    assert [c.available_change for c in told] == [100]
    assert len(changes(told[-1].position, [HOLD_ONE[0], HOLD_ONE[1]])) == 1


def test_between_common_transfers_time_decides() -> None:
    """A line of each account without the other are told in the order of their times."""
    early, late = replace(SETTLED, version=1, create_time=AT), replace(MORE, version=1)

    assert [c.held_change for c in changes(EMPTY, [late, early])] == [-20, 0]


@pytest.mark.parametrize("sequence", [1, 5 << 26, (4 << 26) + 4, (1 << 62)])
def test_a_place_that_was_never_reached_is_refused(sequence: int) -> None:
    """A number beyond either account is no place in this balance; the field is named."""
    now = changes(EMPTY, LIFE)[-1].position
    now = replace(now, held_version=0) if sequence == 1 else now

    with pytest.raises(ParamInvalid) as caught:
        versions_at(sequence, now)
    assert caught.value.violations[0].field == "after_sequence"


def test_a_place_is_found_again() -> None:
    """The number of a place names the lines of both accounts."""
    for change in changes(EMPTY, LIFE):
        place = change.position
        assert versions_at(place.sequence, place) == (place.user_version, place.held_version)
