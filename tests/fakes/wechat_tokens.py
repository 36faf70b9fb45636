"""WeChat's two families of access tokens. Facts: contract page section 1.2.

A stable token comes back unchanged until five minutes before its end and then overlaps with its successor; forcing
kills it at once, 20 times a day, 30 s apart. A plain token is a new one at every call, and its predecessor lives on for
five minutes. Neither family knows of the other.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.limits import DAY_S, MINUTE_S, Windows

if TYPE_CHECKING:
    from services.kit.clock import Clock

LIFE_S = 7200
OVERLAP_S = 300
FORCED = ((20, DAY_S), (1, 30.0))
STABLE = ((10_000, MINUTE_S), (500_000, DAY_S))
PLAIN = ((2_000, DAY_S),)
_MOST = 10_000


@dataclass
class _Token:
    """One access token and until when it opens anything."""

    ends_s: float
    killed: bool = False


class Tokens:
    """The tokens of one mini-program."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Token] = {}
        self._stable = ""
        self._plain = ""
        self._windows = Windows(clock)

    def stable(self, *, force: bool) -> tuple[str, int] | int:
        """Return a token and the seconds it has left, or the errcode of a refusal."""
        if not self._windows.take("stable", STABLE) or (force and not self._windows.take("force", FORCED)):
            return 45011
        at = self._clock().timestamp()
        known = self._known.get(self._stable)
        if force and known is not None:
            known.killed = True
        if force or known is None or known.killed or known.ends_s - at <= OVERLAP_S:
            self._stable = self._new(at)
        return self._stable, int(self._known[self._stable].ends_s - at)

    def plain(self) -> tuple[str, int] | int:
        """Return a new token and its life, or the errcode of a refusal."""
        if not self._windows.take("plain", PLAIN):
            return 45009
        at = self._clock().timestamp()
        before = self._known.get(self._plain)
        if before is not None:
            before.ends_s = min(before.ends_s, at + OVERLAP_S)
        self._plain = self._new(at)
        return self._plain, LIFE_S

    def refusal(self, token: str) -> tuple[int, str] | None:
        """Return errcode and words for a token that opens nothing, None for a good one."""
        if not token:
            return 41001, "access_token missing"
        known = self._known.get(token)
        if known is None:
            looks_right = token.startswith("sandbox_")
            return (40001, "invalid credential") if looks_right else (40014, "invalid access_token")
        if known.killed:
            return 40001, "invalid credential, access_token is invalid or not latest"
        return (42001, "access_token expired") if self._clock().timestamp() >= known.ends_s else None

    def end_all(self) -> None:
        """Let every token be superseded, as when somebody else has asked for one."""
        for each in self._known.values():
            each.killed = True

    def _new(self, at: float) -> str:
        while len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        # Storage for 512 characters is asked for; a client that keeps less is found out.
        token = "sandbox_" + secrets.token_urlsafe(300)
        self._known[token] = _Token(at + LIFE_S)
        return token
