"""A caller and what is theirs, and answers in words that do not depend on whose they are.

Every caller goes through the same life in another way. Ids get the number under which the caller has met them, what the
contract keeps out of logs is a secret, times are times, and addresses lose what is signed into them; all else has to be
equal, letter for letter.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from gateway.shapes import is_map, shape_of
from services.kit.ids import new_id
from services.kit.rpc.errors import TRACE_KEY
from tests.differential.ways import INSIDE, NAMES, Outcome
from tests.differential.wishes import CODE, DIGITS, MARK, OWN, TOKEN

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAMED = re.compile(f"{OWN}([0-9]+){OWN}|{CODE}([0-9]+){CODE}|{TOKEN}([0-9]+){TOKEN}")
# Facts that depend on when one asks.
_VOLATILE = frozenset({"retry_after_s"})
# What a client calls itself, which gRPC does not leave to its callers.
_OF_CLIENT = frozenset({"device"})
_GRPC_CLIENT, _HTTP_CLIENT = "gRPC · Linux", "Python"
_MOST_IDS = 4000
_SHOWN = 300


@dataclass
class World:
    """One caller, who always calls in the same way."""

    name: str
    mark: str
    address: str
    token: str = ""
    ids: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def headers(self, trace_id: str) -> dict[str, str]:
        """Return the metadata of a call; where somebody stands between, they say from which address."""
        given = {TRACE_KEY: trace_id, "x-platform": "web", "accept-language": "en"}
        if self.name in INSIDE:
            given |= {"x-client-ip": self.address, "x-client-agent": "Python"}
        elif self.name != "edge":
            given |= {"x-forwarded-for": self.address}
        return given | ({"authorization": f"Bearer {self.token}"} if self.token else {})

    def own(self, wish: Sequence[Message]) -> list[Message]:
        """Return the wish with this caller's ids and names in it."""
        request = []
        for each in wish:
            message = type(each)()
            message.CopyFrom(each)
            _change(message, self._owned)
            request.append(message)
        return request

    def _owned(self, text: str) -> str:
        def theirs(found: re.Match[str]) -> str:
            kinds = ((self.ids, "018f0000-0000-7000-8000-00000000beef"), (self.codes, "Zz99Zz99Zz"), (self.tokens, ""))
            number, (known, otherwise) = next(
                (int(text), kind) for text, kind in zip(found.groups(), kinds, strict=True) if text is not None
            )
            return known[-1 - number % len(known)] if known else otherwise

        return (
            _NAMED.sub(theirs, text).replace(MARK, self.mark).replace(DIGITS, self.address.rpartition(".")[2].zfill(4))
        )

    def told(self, outcome: Outcome) -> dict[str, Any]:
        """Return the outcome in words that are the same for every caller, having met the ids in it."""
        facts = {key: self._said(text) for key, text in outcome.facts.items() if key not in _VOLATILE}
        if outcome.violations:
            # The gateway names the first one among the facts of every refusal, the services among those of some.
            facts.setdefault("field", self._said(outcome.violations[0][0]))
        return {
            "response": None if outcome.response is None else self._plain(outcome.response),
            "reason": outcome.reason,
            "description": self._said(outcome.description),
            "violations": [tuple(self._said(each) for each in one) for one in outcome.violations],
            "facts": facts,
        }

    def _plain(self, message: Message) -> Any:
        if shape_of(message).full_name == "google.protobuf.Timestamp":
            return "time"
        found: dict[str, Any] = {}
        for each, value in message.ListFields():
            if each.GetOptions().debug_redact or each.name in _OF_CLIENT:
                found[each.name] = "secret"
            elif each.name == "next_page_token":
                self.tokens = [*self.tokens[-9:], value]
                found[each.name] = "more"
            elif is_map(each):
                found[each.name] = {self._said(str(key)): self._said(str(value[key])) for key in sorted(value)}
            elif each.is_repeated:
                found[each.name] = [self._one(each, one) for one in value]
            else:
                found[each.name] = self._one(each, value)
        return found

    def _one(self, each: Any, value: Any) -> Any:
        if isinstance(value, Message):
            return self._plain(value)
        if not isinstance(value, str):
            return value
        if each.name == "share_code":
            return self._name(value, self.codes)
        return self._said(value)

    def _said(self, text: str) -> str:
        for code in self.codes:
            text = text.replace(code, self._names[code])
        plain = _ID.sub(lambda found: self._name(found[0], self.ids), text).replace(self.address, "address")
        plain = plain.replace(self.mark, MARK)
        if plain.startswith(("http://", "https://", "/_objects/")):
            return plain.partition("?")[0]
        if self.name == "edge":
            plain = plain.replace("127.0.0.1", "address").replace(_GRPC_CLIENT, _HTTP_CLIENT)
        return plain

    def _name(self, known: str, kept: list[str]) -> str:
        if known not in self._names:
            self._names[known] = f"#{len(self._names) + 1}"
            kept.append(known)
            del kept[:-_MOST_IDS]
        return self._names[known]


def new_worlds() -> list[World]:
    """Return a caller for each way; their marks have the same length and appear in no word."""
    marks = [f"q{letter}{new_id()[-4:]}" for letter in "bcdfgh"]
    return [World(name, marks[at], f"203.0.113.{at + 7}") for at, name in enumerate(NAMES)]


def differences(told: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return which ways were told something else than the first one, where in the answer, and what."""
    (first, expected), *others = told.items()
    return [f"{name}, not as {first}: {_parting(each, expected)}" for name, each in others if each != expected]


def _parting(one: Any, other: Any, place: str = "") -> str:
    """Return the first place at which two values part, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                return _parting(one.get(key), other.get(key), f"{place}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            if mine != theirs:
                return _parting(mine, theirs, f"{place}[{number}]")
    return f"{place} {str(one)[:_SHOWN]!r} and not {str(other)[:_SHOWN]!r}"


def _change(message: Any, change: Any) -> None:
    """Change every text of a message."""
    for each, value in message.ListFields():
        if is_map(each):
            continue
        if isinstance(value, Message):
            _change(value, change)
        elif each.is_repeated and each.message_type is not None:
            for one in value:
                _change(one, change)
        elif each.is_repeated and each.type == each.TYPE_STRING:
            value[:] = [change(one) for one in value]
        elif each.type == each.TYPE_STRING:
            setattr(message, each.name, change(value))
