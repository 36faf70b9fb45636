"""Which version of a price holds: the newest that has begun, or for a while the one that was quoted.

And what is owed of it when its owner cancels a run: the sum over the finished steps that the version names.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.kit.errors import ParamInvalid
from services.wallet.domain.credit import Price
from services.wallet.domain.errors import PriceChanged


def current(versions: Sequence[Price], now: datetime) -> Price | None:
    """Return the newest version that has begun, None when none has."""
    begun = [each for each in versions if _begins(each) <= now]
    return max(begun, key=lambda each: each.version, default=None)


def quoted(versions: Sequence[Price], wanted: int, now: datetime, *, window: timedelta) -> Price:
    """Return the price of a run: version `wanted` while its quote is good, the current one for 0.

    A version is good from its beginning until `window` after the next one has begun. Raises ParamInvalid for a kind
    without a price and PriceChanged for a version that is not good.
    """
    price = current(versions, now)
    if price is None:
        raise ParamInvalid.of("price_kind", "is not in the price table")
    if wanted in {0, price.version}:
        return price
    asked = next((each for each in versions if each.version == wanted), None)
    following = next((each for each in versions if each.version == wanted + 1), None)
    if asked is None or following is None or wanted > price.version or _begins(following) + window <= now:
        raise PriceChanged(
            f"version {wanted} of the price holds no more", kind=price.kind, version=price.version, amount=price.amount
        )
    return asked


def following_version(versions: Sequence[Price], wanted: Price, valid_from: datetime) -> Price:
    """Return the wanted price as the next version.

    Raises ParamInvalid when it would begin before the last one, when it names a step twice, and when the steps together
    cost more than the whole.
    """
    last = max(versions, key=lambda each: each.version, default=None)
    if last is not None and valid_from < _begins(last):
        raise ParamInvalid.of("valid_from_time", "is before the beginning of the version before")
    names = [step for step, _ in wanted.steps]
    if len(set(names)) < len(names):
        raise ParamInvalid.of("steps", "names a step twice")
    if owed(wanted, names) > wanted.amount:
        raise ParamInvalid.of("steps", f"cost more together than the {wanted.amount} credits of a run")
    return replace(wanted, version=1 if last is None else last.version + 1, valid_from=valid_from)


def owed(price: Price, finished: Collection[str]) -> int:
    """Return the credits that are owed for the finished steps of a run that its owner cancelled."""
    return sum(amount for step, amount in price.steps if step in finished)


def _begins(price: Price) -> datetime:
    assert price.valid_from is not None
    return price.valid_from
