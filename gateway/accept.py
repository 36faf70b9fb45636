"""What a client takes, by its `Accept` header; RFC 9110 section 12.5.1."""

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from aiohttp import web

from services.kit.errors import RemoteError

_MOST_KINDS: Final = 32


def check_acceptable(http: web.Request, offer: str) -> None:
    """Raise NOT_ACCEPTABLE when the client takes none of what is made here."""
    choose(http, (offer,))


def choose(http: web.Request, offers: Sequence[str]) -> str:
    """Return the offer that the client likes best, the first one of equals; NOT_ACCEPTABLE when it takes none."""
    best = _best(http.headers.get("Accept", ""), tuple(offers))
    if best is None:
        raise RemoteError("NOT_ACCEPTABLE", f"only {', '.join(offers)} is made here", offers=", ".join(offers))
    return best


# Clients are many, and what they write there is the same few lines.
@lru_cache(maxsize=1024)
def _best(accept: str, offers: tuple[str, ...]) -> str | None:
    if not accept.strip():
        return offers[0]
    kinds = [_weighed(part) for part in accept.split(",")[:_MOST_KINDS]]
    best = max(offers, key=lambda offer: _liking(offer, kinds))
    return best if _liking(best, kinds) > 0 else None


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (each.strip().lower() for each in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            with contextlib.suppress(ValueError):
                weight = float(parameter[2:])
    return kind, weight


def _liking(offer: str, kinds: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most exact kind that fits the offer, nothing when none does."""
    ranks = {offer: 2, offer.partition("/")[0] + "/*": 1, "*/*": 0}
    fitting = [(ranks[kind], weight) for kind, weight in kinds if kind in ranks]
    return max(fitting, key=lambda each: each[0])[1] if fitting else 0.0
