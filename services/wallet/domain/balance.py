"""The life of one balance, told from the lines of its two accounts: what is spendable and what is set aside.

A place in that life is how many lines each account has; it is told to clients as one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.kit.errors import ParamInvalid
from services.wallet.domain.credit import AccountKind, Balance, TransferKind

# JSON keeps whole numbers up to 2^53, so each half may count to 2^26, which is 67 million lines of one user.
_HALF = 26
_MASK = (1 << _HALF) - 1


@dataclass(frozen=True)
class Position:
    """A place between two changes: the lines of both accounts so far, and the balance there."""

    user_version: int
    held_version: int
    balance: Balance

    @property
    def sequence(self) -> int:
        """Return the place as one number that grows with every change."""
        return self.user_version << _HALF | self.held_version


@dataclass(frozen=True)
class Line:
    """One line of one of the two accounts; `partner` is the line of the other account in the same transfer."""

    account: AccountKind
    version: int
    partner: int | None
    amount: int
    balance_after: int
    kind: TransferKind
    description: str
    reference_id: str
    create_time: datetime


@dataclass(frozen=True)
class Change:
    """One transfer as it moved a balance, and the place after it."""

    position: Position
    kind: TransferKind
    available_change: int
    held_change: int
    description: str
    reference_id: str


def versions_at(sequence: int, now: Position) -> tuple[int, int]:
    """Return how many lines the accounts had at a sequence number; ParamInvalid when it is not one of this balance."""
    user_version, held_version = sequence >> _HALF, sequence & _MASK
    if user_version > now.user_version or held_version > now.held_version:
        raise ParamInvalid.of("after_sequence", f"is not a place in this balance, which stands at {now.sequence}")
    return user_version, held_version


def changes(start: Position, lines: Sequence[Line]) -> list[Change]:
    """Return the changes that the lines behind a place tell, in order; a change whose other half is missing waits.

    The lines are those of each account in order. A transfer that touches both accounts comes after everything
    before it in either; between two such transfers time decides.
    """
    spendable = [line for line in lines if line.account is AccountKind.USER]
    held = [line for line in lines if line.account is AccountKind.USER_HELD]
    told: list[Change] = []
    at = start
    while spendable or held:
        first, second = next(iter(spendable), None), next(iter(held), None)
        if first is not None and second is not None and first.partner == second.version:
            taken = [spendable.pop(0), held.pop(0)]
        elif first is not None and first.partner is None and (second is None or _before(first, second)):
            taken = [spendable.pop(0)]
        elif second is not None and second.partner is None:
            taken = [held.pop(0)]
        else:
            break
        told.append(_change(at, taken))
        at = told[-1].position
    return told


def _before(one: Line, other: Line) -> bool:
    """Return whether a line of one account comes first: the other one waits for its partner, or is younger."""
    return other.partner is not None or one.create_time <= other.create_time


def _change(at: Position, lines: list[Line]) -> Change:
    """Return what the one or two lines of a transfer change."""
    balance, user_version, held_version = replace(at.balance, update_time=lines[0].create_time), *_versions(at)
    moved = {AccountKind.USER: 0, AccountKind.USER_HELD: 0}
    for line in lines:
        moved[line.account] = line.amount
        if line.account is AccountKind.USER:
            balance, user_version = replace(balance, available=line.balance_after), line.version
        else:
            balance, held_version = replace(balance, held=line.balance_after), line.version
    return Change(
        position=Position(user_version, held_version, balance),
        kind=lines[0].kind,
        available_change=moved[AccountKind.USER],
        held_change=moved[AccountKind.USER_HELD],
        description=lines[0].description,
        reference_id=lines[0].reference_id,
    )


def _versions(at: Position) -> tuple[int, int]:
    return at.user_version, at.held_version
