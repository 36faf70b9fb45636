"""Money writes as the hot path takes them, on a clock of their own."""

from datetime import timedelta

from services.wallet.domain import credit
from services.wallet.domain.credit import Operation, TransferKind
from services.wallet.storage.perform import Write
from tests.conftest import SettableClock

CLOCK = SettableClock()


def hold_write(user_id: str, hold_id: str, kind: str = "lyrics") -> Write:
    """Return the wish to set aside the price of a kind of work, for a day."""
    return Write(
        operation=Operation.HOLD,
        request_id=hold_id,
        input_hash=credit.fingerprint(Operation.HOLD, user_id=user_id, price_kind=kind),
        kind=TransferKind.HOLD,
        user_id=user_id,
        hold_id=hold_id,
        price_kind=kind,
        expire_time=CLOCK.at + timedelta(days=1),
    )


def close_write(operation: Operation, request_id: str, hold_id: str, amount: int | None = None) -> Write:
    """Return the wish to settle or release a hold whose user is not named."""
    return Write(
        operation=operation,
        request_id=request_id,
        input_hash=credit.fingerprint(operation, hold_id=hold_id, amount=amount),
        kind=TransferKind(operation.value),
        hold_id=hold_id,
        amount=amount,
    )
