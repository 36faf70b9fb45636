"""The use cases of credits on a real PostgreSQL: once for ever, never below zero, books whole."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.kit.db.engine import Database
from services.kit.errors import DomainError, IdempotencyKeyReused, NotFound, ParamInvalid
from services.kit.ids import new_id
from services.wallet.domain.credit import AccountKind, Answer, HoldState, TransferKind
from services.wallet.domain.errors import CreditsHeld, HoldClosed, InsufficientCredits
from services.wallet.domain.ledger import first_broken
from services.wallet.storage import credit as storage
from services.wallet.storage import perform as hot_storage
from services.wallet.storage.perform import Write
from services.wallet.usecases.credit import Credits
from tests.conftest import SettableClock


@pytest.fixture(params=["together", "alone"])
def credits_(
    request: pytest.FixtureRequest, db: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> Credits:
    """Return the use cases on the module's database: with the statement for many writes, and each decided alone."""

    async def undecided(_db: Database, writes: Sequence[Write], **_when: object) -> list[None]:
        return [None] * len(writes)

    if request.param == "alone":
        monkeypatch.setattr(hot_storage, "perform", undecided)
    return Credits(db, clock, signup_grant_credits=100)


async def _user(credits_: Credits) -> str:
    """Return a new user with 100 credits."""
    user_id = new_id()
    await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id)
    return user_id


async def _have(credits_: Credits, user_id: str) -> tuple[int, int]:
    balance = await credits_.balance(user_id)
    return balance.available, balance.held


async def _check_books(db: Database) -> None:
    """Assert that the whole ledger sums to zero, every chain is whole and every account says what its chain says."""
    async with db.transaction() as tx:
        rows = (await tx.execute(text("SELECT account_id, balance, version FROM wallet.accounts"))).all()
        assert sum(row.balance for row in rows) == 0
        for row in rows:
            chain = await storage.read_chain(tx, str(row.account_id))
            assert first_broken(chain) is None
            assert (len(chain), sum(entry.amount for entry in chain)) == (row.version, row.balance)
        held = await tx.execute(
            text(
                "SELECT a.owner_id FROM wallet.accounts a LEFT JOIN wallet.holds h"
                " ON h.user_id = a.owner_id AND h.state = 'held' WHERE a.kind = 'user_held'"
                " GROUP BY a.owner_id, a.balance HAVING a.balance <> coalesce(sum(h.amount), 0)"
            )
        )
        assert held.all() == []


async def test_signup_grant_is_given_once(credits_: Credits, db: Database) -> None:
    """Ten grants under one id, five at the same time, leave one line of 100."""
    user_id = new_id()
    calls = [credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    answers += [await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id) for _ in range(5)]
    assert set(answers) == {answers[0]}
    assert answers[0].balance.available == 100
    page = await credits_.entries(user_id, page_size=0, page_token="")
    assert [(line.kind, line.amount, line.description) for line in page.entries] == [
        (TransferKind.SIGNUP_GRANT, 100, "signup")
    ]
    await _check_books(db)


async def test_a_stranger_has_nothing(credits_: Credits) -> None:
    """A user without accounts has zero credits, no lines, and cannot hold."""
    user_id = new_id()
    balance = await credits_.balance(user_id)
    assert (balance.available, balance.held, balance.update_time) == (0, 0, None)
    assert (await credits_.entries(user_id, page_size=5, page_token="")).entries == []
    with pytest.raises(InsufficientCredits):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    assert await _have(credits_, user_id) == (0, 0)


async def test_only_what_has_a_price_can_be_held(credits_: Credits) -> None:
    """A kind of work that the price table does not know is refused, and the field is named."""
    with pytest.raises(ParamInvalid) as caught:
        await credits_.hold(request_id=new_id(), user_id=new_id(), price_kind="opera")
    assert caught.value.violations[0].field == "price_kind"


@pytest.mark.parametrize(("amount", "left"), [(None, 80), (20, 80), (5, 95), (0, 100)])
async def test_settling_spends_what_was_asked(credits_: Credits, db: Database, amount: int | None, left: int) -> None:
    """A hold leaves the balance at once; settling a part gives the rest back."""
    user_id, job_id = await _user(credits_), new_id()
    held = await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    assert (held.balance.available, held.balance.held) == (80, 20)
    settled = await credits_.settle(request_id=f"settle:{job_id}", hold_id=job_id, amount=amount)
    assert settled.hold is not None
    assert (settled.hold.state, settled.hold.settled) == (HoldState.SETTLED, 100 - left)
    assert await _have(credits_, user_id) == (left, 0)
    await _check_books(db)


async def test_releasing_gives_all_back_with_its_reason(credits_: Credits, db: Database) -> None:
    """A released hold restores the balance and one line says why."""
    user_id, job_id = await _user(credits_), new_id()
    await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await credits_.release(request_id=f"release:{job_id}", hold_id=job_id, description="the engine failed")
    assert await _have(credits_, user_id) == (100, 0)
    lines = (await credits_.entries(user_id, page_size=2, page_token="")).entries
    assert [(line.kind, line.amount, line.description, line.reference_id) for line in lines] == [
        (TransferKind.RELEASE, 20, "the engine failed", job_id),
        (TransferKind.HOLD, -20, "music", job_id),
    ]
    second = new_id()
    await credits_.hold(request_id=second, user_id=user_id, price_kind="music")
    await credits_.release(request_id=f"release:{second}", hold_id=second, description="")
    assert (await credits_.entries(user_id, page_size=1, page_token="")).entries[0].description == "music"
    await _check_books(db)


async def test_repeats_get_the_first_answer_for_ever(credits_: Credits, clock: SettableClock) -> None:
    """Each write repeated after everything else has happened answers as it did the first time."""
    user_id, job_id = await _user(credits_), new_id()
    first = [
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music"),
        await credits_.settle(request_id=f"settle:{job_id}", hold_id=job_id, amount=5),
    ]
    clock.advance(86_400)
    for _ in range(9):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    again = [
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music"),
        await credits_.settle(request_id=f"settle:{job_id}", hold_id=job_id, amount=5),
    ]
    assert again == first
    assert first[0].hold is not None
    assert first[0].hold.state is HoldState.HELD
    assert await _have(credits_, user_id) == (5, 90)


async def test_other_input_under_a_used_id_is_refused(credits_: Credits) -> None:
    """Each operation refuses its used id with other input, and nothing changes."""
    user_id, other, job_id = await _user(credits_), await _user(credits_), new_id()
    await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await credits_.settle(request_id="s-" + job_id, hold_id=job_id, amount=5)
    second = new_id()
    await credits_.hold(request_id=second, user_id=user_id, price_kind="music")
    await credits_.release(request_id="r-" + job_id, hold_id=second, description="a")
    before = await _have(credits_, user_id)
    with pytest.raises(IdempotencyKeyReused):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
    with pytest.raises(IdempotencyKeyReused):
        await credits_.hold(request_id=job_id, user_id=other, price_kind="music")
    with pytest.raises(IdempotencyKeyReused):
        await credits_.settle(request_id="s-" + job_id, hold_id=job_id, amount=6)
    with pytest.raises(IdempotencyKeyReused):
        await credits_.release(request_id="r-" + job_id, hold_id=second, description="b")
    with pytest.raises(IdempotencyKeyReused):
        await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=other)
    assert await _have(credits_, user_id) == before
    assert await _have(credits_, other) == (100, 0)


async def test_a_closed_hold_stays_closed(credits_: Credits) -> None:
    """Settle after release, release after settle and a second settle are refused."""
    user_id, one, two = await _user(credits_), new_id(), new_id()
    for job_id in (one, two):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await credits_.settle(request_id="s1" + one, hold_id=one, amount=None)
    await credits_.release(request_id="r1" + two, hold_id=two, description="")
    with pytest.raises(HoldClosed):
        await credits_.release(request_id="r2" + one, hold_id=one, description="")
    with pytest.raises(HoldClosed):
        await credits_.settle(request_id="s2" + one, hold_id=one, amount=None)
    with pytest.raises(HoldClosed):
        await credits_.settle(request_id="s2" + two, hold_id=two, amount=None)
    with pytest.raises(NotFound):
        await credits_.settle(request_id=new_id(), hold_id=new_id(), amount=None)
    assert await _have(credits_, user_id) == (80, 0)


async def test_fifty_concurrent_holds_grant_exactly_five(credits_: Credits, db: Database) -> None:
    """Of 50 holds of 20 at the same time on 100 credits five succeed and the balance is zero."""
    user_id = await _user(credits_)
    calls = [credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music") for _ in range(50)]
    outcomes = Counter(type(each) for each in await asyncio.gather(*calls, return_exceptions=True))
    assert outcomes == {Answer: 5, CreditsHeld: 45}
    assert await _have(credits_, user_id) == (0, 100)
    await _check_books(db)


async def test_one_hold_sent_twenty_times_at_once_charges_once(credits_: Credits, db: Database) -> None:
    """Twenty equal holds on a balance that covers one all get the same answer."""
    user_id, job_id = await _user(credits_), new_id()
    for _ in range(4):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="music")
    calls = [credits_.hold(request_id=job_id, user_id=user_id, price_kind="music") for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert set(answers) == {answers[0]}
    assert await _have(credits_, user_id) == (0, 100)
    await _check_books(db)


async def test_settle_and_release_at_once_close_the_hold_once(credits_: Credits, db: Database) -> None:
    """Whichever of ten settlements and ten releases comes first wins; all its repeats agree with it."""
    for _ in range(5):
        user_id, job_id = await _user(credits_), new_id()
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
        settles = [credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=None) for _ in range(10)]
        releases = [credits_.release(request_id=f"r{job_id}", hold_id=job_id, description="") for _ in range(10)]
        calls = settles + releases
        Random(job_id).shuffle(calls)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        answers = [each for each in outcomes if isinstance(each, Answer)]
        assert len(answers) == 10
        assert len(set(answers)) == 1
        assert sum(isinstance(each, HoldClosed) for each in outcomes) == 10
        assert await _have(credits_, user_id) in {(80, 0), (100, 0)}
    await _check_books(db)


async def test_many_users_at_once_never_wait_for_each_other_in_a_circle(credits_: Credits, db: Database) -> None:
    """Grants, holds, settlements and releases of ten users crossing each other all succeed."""

    async def live(user_id: str) -> None:
        await credits_.grant_signup(request_id=f"signup:{user_id}", user_id=user_id)
        for number in range(4):
            job_id = new_id()
            await credits_.hold(request_id=job_id, user_id=user_id, price_kind="lyrics")
            if number % 2:
                await credits_.settle(request_id=f"s{job_id}", hold_id=job_id, amount=number)
            else:
                await credits_.release(request_id=f"r{job_id}", hold_id=job_id, description="")

    users = [new_id() for _ in range(10)]
    await asyncio.gather(*(live(user_id) for user_id in users for _ in range(2)))
    assert {await _have(credits_, user_id) for user_id in users} == {(92, 0)}
    await _check_books(db)


async def test_pages_show_every_line_once(credits_: Credits) -> None:
    """Walking small pages gives all lines, the newest first, each once, also when lines arrive between."""
    user_id = await _user(credits_)
    for _ in range(6):
        await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    page = await credits_.entries(user_id, page_size=3, page_token="")
    await credits_.hold(request_id=new_id(), user_id=user_id, price_kind="lyrics")
    seen = list(page.entries)
    while page.next_page_token:
        page = await credits_.entries(user_id, page_size=3, page_token=page.next_page_token)
        seen += page.entries
    assert [line.balance_after for line in seen] == [40, 50, 60, 70, 80, 90, 100]
    assert len({line.entry_id for line in seen}) == 7
    # Eight lines by now: a page that just holds them all is the last one.
    whole = [await credits_.entries(user_id, page_size=size, page_token="") for size in (7, 8, 9)]
    assert [(len(each.entries), bool(each.next_page_token)) for each in whole] == [(7, True), (8, False), (8, False)]


@pytest.mark.parametrize("token", ["garbage", "WyJhIl0", "WzEsMl0"])
async def test_a_foreign_page_token_is_refused(credits_: Credits, token: str) -> None:
    """Garbage, text and a key of two values are no tokens of this list."""
    with pytest.raises(ParamInvalid) as caught:
        await credits_.entries(new_id(), page_size=1, page_token=token)
    assert caught.value.violations[0].field == "page_token"


@dataclass
class _Model:
    """The whole of Wallet for one user, as simple as it can be said."""

    available: int = 100
    open: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)

    def hold(self, job: int, price: int) -> str:
        if job in self.open or job in self.closed:
            return "repeat"
        if price > self.available:
            return "INSUFFICIENT_CREDITS" if price > self.available + sum(self.open.values()) else "CREDITS_HELD"
        self.available -= price
        self.open[job] = price
        return "done"

    def close(self, job: int, spent: int | None) -> str:
        if job not in self.open:
            return "HOLD_CLOSED" if job in self.closed else "NOT_FOUND"
        if spent is not None and spent > self.open[job]:
            return "PARAM_INVALID"
        price = self.open.pop(job)
        self.closed.add(job)
        self.available += price - (price if spent is None else spent)
        return "done"


_KINDS = {10: "lyrics", 20: "music"}
_JOB = st.integers(0, 7)
_STEP = st.one_of(
    st.tuples(st.just("hold"), _JOB, st.none()),
    st.tuples(st.just("settle"), _JOB, st.none() | st.integers(0, 25)),
    st.tuples(st.just("release"), _JOB, st.none()),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(_STEP, min_size=1, max_size=25))
async def test_any_story_ends_as_in_the_model(
    credits_: Credits, db: Database, steps: list[tuple[str, int, int | None]]
) -> None:
    """After any sequence of holds, settlements and releases the balance is that of a ten-line model."""
    user_id, jobs, model = await _user(credits_), [new_id() for _ in range(8)], _Model()
    for number, (what, job, amount) in enumerate(steps):
        price = 10 if job % 2 else 20
        outcome, answer = "done", None
        try:
            if what == "hold":
                expected = model.hold(job, price)
                answer = await credits_.hold(request_id=jobs[job], user_id=user_id, price_kind=_KINDS[price])
            elif what == "settle":
                expected = model.close(job, amount)
                answer = await credits_.settle(request_id=f"{user_id}{number}", hold_id=jobs[job], amount=amount)
            else:
                expected = model.close(job, 0)
                answer = await credits_.release(request_id=f"{user_id}{number}", hold_id=jobs[job], description="")
        except DomainError as error:
            outcome = error.reason
        assert outcome == expected.replace("repeat", "done")
        if answer is not None and expected == "done":
            assert (answer.balance.available, answer.balance.held) == (model.available, sum(model.open.values()))
        assert await _have(credits_, user_id) == (model.available, sum(model.open.values()))
    page = await credits_.entries(user_id, page_size=100, page_token="")
    assert sum(line.amount for line in page.entries) == model.available
    async with db.transaction() as tx:
        accounts = await storage.lock_accounts(tx, user_id)
        assert set(accounts) == set(AccountKind)
        assert sum(account.balance for account in accounts.values()) == 0
        for account in accounts.values():
            assert first_broken(await storage.read_chain(tx, account.account_id)) is None
