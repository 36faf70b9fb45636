"""The decisions about credits and the chain of the books, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.errors import Conflict, ParamInvalid
from services.wallet.domain import credit
from services.wallet.domain.credit import AccountKind, Hold, HoldState, Operation, Postings, Price
from services.wallet.domain.errors import HoldClosed, InsufficientCredits
from services.wallet.domain.ledger import GENESIS, Account, Entry, first_broken, post

MUSIC = Price("music", 20)
OPEN = Hold("job", "user", "music", 20)
AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

USER, HELD, REVENUE, GRANTS, ADJUSTMENTS = AccountKind


@pytest.mark.parametrize(
    ("postings", "expected"),
    [
        (credit.grant(100), {GRANTS: -100, USER: 100}),
        (credit.reserve(20, MUSIC), {USER: -20, HELD: 20}),
        (credit.settle(OPEN, None)[1], {HELD: -20, REVENUE: 20}),
        (credit.settle(OPEN, 20)[1], {HELD: -20, REVENUE: 20}),
        (credit.settle(OPEN, 7)[1], {HELD: -20, REVENUE: 7, USER: 13}),
        (credit.settle(OPEN, 0)[1], {HELD: -20, USER: 20}),
        (credit.release(OPEN)[1], {HELD: -20, USER: 20}),
        (credit.expire(replace(OPEN, expire_time=AT), AT)[1], {HELD: -20, USER: 20}),
        (credit.adjust(0, 7), {ADJUSTMENTS: -7, USER: 7}),
        (credit.adjust(7, -7), {ADJUSTMENTS: 7, USER: -7}),
    ],
)
def test_postings_of_each_decision(postings: Postings, expected: Postings) -> None:
    """Each decision moves exactly these credits, and they sum to zero."""
    assert postings == expected
    assert sum(postings.values()) == 0


@pytest.mark.parametrize("available", [0, 1, 19])
def test_reserve_refuses_less_than_the_price(available: int) -> None:
    """A balance one below the price is refused with both numbers."""
    with pytest.raises(InsufficientCredits) as caught:
        credit.reserve(available, MUSIC)
    assert caught.value.metadata == {"needed": "20", "available": str(available)}


@pytest.mark.parametrize(
    ("amount", "state", "settled"),
    [(None, HoldState.SETTLED, 20), (7, HoldState.SETTLED, 7), (0, HoldState.SETTLED, 0)],
)
def test_settled_hold_says_what_was_spent(amount: int | None, state: HoldState, settled: int) -> None:
    """Settling closes the hold and keeps the amount spent."""
    hold, _ = credit.settle(OPEN, amount)
    assert (hold.state, hold.settled, hold.amount) == (state, settled, 20)


@pytest.mark.parametrize("amount", [-1, 21])
def test_settle_refuses_more_than_was_held(amount: int) -> None:
    """No more than the hold, and nothing negative, can be settled; the field is named."""
    with pytest.raises(ParamInvalid) as caught:
        credit.settle(OPEN, amount)
    assert caught.value.violations[0].field == "amount_credits"


@pytest.mark.parametrize("until", [None, AT + timedelta(microseconds=1)])
def test_a_hold_does_not_expire_before_its_date(until: datetime | None) -> None:
    """Without a date, or before it, nothing goes back."""
    with pytest.raises(Conflict):
        credit.expire(replace(OPEN, expire_time=until), AT)


def test_an_adjustment_takes_no_more_than_there_is() -> None:
    """One credit more than the spendable balance is refused with both numbers, and so is nothing at all."""
    with pytest.raises(InsufficientCredits) as caught:
        credit.adjust(6, -7)
    assert caught.value.metadata == {"needed": "7", "available": "6"}
    with pytest.raises(ParamInvalid):
        credit.adjust(6, 0)


@pytest.mark.parametrize("state", [HoldState.SETTLED, HoldState.RELEASED, HoldState.EXPIRED])
def test_closed_holds_stay_closed(state: HoldState) -> None:
    """Neither end of a hold can follow another one."""
    closed = replace(OPEN, state=state)
    with pytest.raises(HoldClosed):
        credit.settle(closed, None)
    with pytest.raises(HoldClosed):
        credit.expire(replace(closed, expire_time=AT), AT)
    with pytest.raises(HoldClosed) as caught:
        credit.release(closed)
    assert caught.value.metadata == {"state": state.value}


def test_fingerprint_tells_inputs_apart() -> None:
    """The fingerprint depends on operation, names and values, and not on their order."""
    same = credit.fingerprint(Operation.HOLD, user_id="a", price_kind="music")
    assert same == credit.fingerprint(Operation.HOLD, price_kind="music", user_id="a")
    others = {
        credit.fingerprint(Operation.HOLD, user_id="b", price_kind="music"),
        credit.fingerprint(Operation.GRANT, user_id="a", price_kind="music"),
        credit.fingerprint(Operation.SETTLE, hold_id="a", amount=None),
        credit.fingerprint(Operation.SETTLE, hold_id="a", amount=0),
    }
    assert len(others | {same}) == 5


def _empty(kind: AccountKind, balance: int = 0) -> Account:
    return Account(f"account-{kind}", "somebody", kind, balance, 0, GENESIS)


def _post(accounts: dict[AccountKind, Account], postings: Postings, transfer_id: str = "transfer") -> list[Entry]:
    ids = {kind: f"{transfer_id}-{kind}" for kind in postings}
    posted = post(accounts, postings, transfer_id=transfer_id, entry_ids=ids, at=AT)
    accounts.update({account.kind: account for account in posted.accounts})
    return list(posted.entries)


def test_what_a_transfer_leaves_in_each_account() -> None:
    """An account that a transfer touched has its new balance, any other the one it had."""
    accounts = {kind: _empty(kind) for kind in AccountKind} | {REVENUE: replace(_empty(REVENUE), balance=40)}
    posted = post(accounts, {GRANTS: -7, USER: 7}, transfer_id="transfer", entry_ids={GRANTS: "a", USER: "b"}, at=AT)

    assert [posted.balance_of(kind, accounts) for kind in (USER, HELD, REVENUE, GRANTS)] == [7, 0, 40, -7]


@pytest.mark.parametrize(
    "postings",
    [{}, {USER: 5}, {USER: 5, GRANTS: -4}, {USER: 0, GRANTS: 0}, {USER: -1, HELD: 1}, {HELD: -1, REVENUE: 1}],
)
def test_the_books_refuse_what_does_not_balance_or_overdraws(postings: Postings) -> None:
    """Nothing empty, unbalanced, zero or overdrawing is ever posted."""
    with pytest.raises(ValueError, match=r"postings|overdraw"):
        _post({kind: _empty(kind) for kind in AccountKind}, postings)


def _history() -> list[Entry]:
    """Return five entries of one user's account."""
    accounts = {kind: _empty(kind) for kind in AccountKind}
    entries: list[Entry] = []
    for number, postings in enumerate(
        [
            credit.grant(100),
            credit.reserve(100, MUSIC),
            credit.release(OPEN)[1],
            credit.reserve(100, MUSIC),
            credit.grant(3),
        ]
    ):
        entries += _post(accounts, postings, f"transfer{number}")
    return [entry for entry in entries if entry.account_id == "account-user"]


def test_an_untouched_chain_is_whole() -> None:
    """The entries of an account continue each other, and the last balance is the sum."""
    history = _history()
    assert first_broken(history) is None
    assert [entry.version for entry in history] == [1, 2, 3, 4, 5]
    assert history[-1].balance_after == sum(entry.amount for entry in history) == 83


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1},
        {"balance_after": 1},
        {"entry_id": "other"},
        {"transfer_id": "other"},
        {"account_id": "other"},
        {"version": 9},
        {"create_time": datetime(2026, 1, 2, tzinfo=UTC)},
        {"hash": bytes(32)},
        {"previous_hash": b"1" * 32},
    ],
)
def test_any_change_of_any_field_breaks_the_chain(place: int, change: dict[str, object]) -> None:
    """A change of one field of one entry is found at that entry."""
    history = _history()
    history[place] = replace(history[place], **change)  # type: ignore[arg-type]
    assert first_broken(history) is history[place]


@pytest.mark.parametrize("place", range(4))
def test_a_missing_entry_breaks_the_chain(place: int) -> None:
    """Dropping an entry that others follow is found at the next one."""
    history = _history()
    following = history[place + 1]
    del history[place]
    assert first_broken(history) is following
