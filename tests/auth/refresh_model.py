"""A small explicit-state checker: every order in which refreshes, lost messages and one thief can meet the real rule.

The server's step is the domain's own functions; around it stand a client with several requests under way at once, a
network that loses and reorders what it likes, and a thief who at one moment of his choice learns the token that the
client holds, though not its retry key. States are few because a token's successor is always the same one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.auth.domain.session import RefreshToken, Session, Verdict, exchanged, judge

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(days=30)
CLIENT, THIEF = "client", "thief"
Rule = Callable[[Session, RefreshToken, RefreshToken | None, datetime, bytes | None], Verdict]

AT_ONCE = 4  # requests of the client that are under way at once
SENT = 5  # requests of the client in all
THEFTS = 3  # requests of the thief in all


class Request(NamedTuple):
    """A refresh under way to the server: who asks, with the token of which number."""

    who: str
    number: int


class Reply(NamedTuple):
    """An answer under way to the client: what it asked with, and what it gets; None for a refusal."""

    asked: int
    got: int | None


@dataclass(frozen=True)
class World:
    """Everything there is: the session, its tokens by number, what each side holds, and what is under way."""

    session: Session
    tokens: tuple[RefreshToken, ...]
    held: int = 0  # what the client has in its storage
    requests: tuple[Request, ...] = ()
    replies: tuple[Reply, ...] = ()
    sent: int = 0
    told_over: bool = False  # the client was told that its session is over
    stolen: int | None = None
    loot: frozenset[int] = frozenset()  # the tokens that the thief has
    thief_sent: int = 0
    shown_by: frozenset[str] = frozenset()  # who has shown the stolen token to the server


@dataclass(frozen=True)
class Flaw:
    """A state that must not be, and the steps that lead there."""

    what: str
    steps: tuple[str, ...]


def begin() -> World:
    """Return the state after a login."""
    return World(Session("s", "u", LATER), (RefreshToken(b"0", LATER),))


def _key(who: str, number: int) -> bytes:
    return f"{who}-{number}".encode()


def serve(world: World, request: Request, rule: Rule) -> World:
    """Return the state after the server has worked on a request."""
    if request.number == world.stolen:
        world = replace(world, shown_by=world.shown_by | {request.who})
    token = world.tokens[request.number]
    successor = world.tokens[request.number + 1] if request.number + 1 < len(world.tokens) else None
    key = _key(request.who, request.number)
    verdict = rule(world.session, token, successor, AT, key)
    got: int | None = None
    over = False
    if verdict in {Verdict.ROTATE, Verdict.RETRY}:
        got = request.number + 1
        if verdict is Verdict.ROTATE:
            new = RefreshToken(str(got).encode(), LATER)
            spent = exchanged(token, new.token_hash, AT, key)
            world = replace(world, tokens=(*world.tokens[: request.number], spent, new))
    elif verdict is Verdict.REPLAY:
        world, over = replace(world, session=replace(world.session, revoke_time=AT)), True
    elif verdict is Verdict.OVER:
        over = True
    if request.who == THIEF:
        return world if got is None else replace(world, loot=world.loot | {got})
    if over:
        return replace(world, told_over=True)
    return replace(world, replies=_with(world.replies, Reply(request.number, got)))


def steps(world: World, rule: Rule) -> Iterator[tuple[str, World]]:
    """Yield everything that can happen next."""
    if world.sent < SENT and len(world.requests) + len(world.replies) < AT_ONCE:
        asked = Request(CLIENT, world.held)
        yield (
            f"client asks with {world.held}",
            replace(world, sent=world.sent + 1, requests=_with(world.requests, asked)),
        )
    for request in set(world.requests):
        rest = replace(world, requests=_without(world.requests, request))
        yield f"{request.who}'s request with {request.number} is lost", rest
        yield f"{request.who}'s request with {request.number} arrives", serve(rest, request, rule)
    for reply in set(world.replies):
        rest = replace(world, replies=_without(world.replies, reply))
        yield f"the answer {reply} is lost", rest
        # A client takes a newer token only in the place of the one it asked with.
        newer = reply.got is not None and reply.asked == world.held
        yield f"the answer {reply} arrives", replace(rest, held=reply.got) if newer and reply.got else rest
    if world.stolen is None:
        yield f"the thief learns {world.held}", replace(world, stolen=world.held, loot=frozenset({world.held}))
    elif world.thief_sent < THEFTS:
        for number in world.loot:
            asked = Request(THIEF, number)
            yield (
                f"thief asks with {number}",
                replace(world, thief_sent=world.thief_sent + 1, requests=_with(world.requests, asked)),
            )


def flaw_of(world: World, rule: Rule) -> str:
    """Return what is wrong with a state, empty when nothing is."""
    if world.stolen is None:
        if world.session.revoke_time is not None or world.told_over:
            return "an honest client was logged out"
        token = world.tokens[world.held]
        successor = world.tokens[world.held + 1] if world.held + 1 < len(world.tokens) else None
        if rule(world.session, token, successor, AT, _key(CLIENT, world.held)) not in {Verdict.ROTATE, Verdict.RETRY}:
            return "an honest client holds a token that is good for nothing"
    elif world.shown_by >= {CLIENT, THIEF} and world.session.revoke_time is None:
        return "a stolen token lives past its second use"
    return ""


def real(
    session: Session, token: RefreshToken, successor: RefreshToken | None, at: datetime, key: bytes | None
) -> Verdict:
    """Return what the code decides."""
    return judge(session, token, successor, at, key_hash=key)


def explore(rule: Rule = real, *, most: int = 2_000_000) -> tuple[int, Flaw | None]:
    """Return how many states there are, and the nearest one that must not be; AssertionError past `most` states."""
    first = begin()
    seen: dict[World, tuple[World, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        world = waiting.popleft()
        what = flaw_of(world, rule)
        if what:
            return len(seen), Flaw(what, _way(seen, world))
        for step, after in steps(world, rule):
            if after not in seen:
                seen[after] = (world, step)
                waiting.append(after)
        assert len(seen) <= most, "there are more states than this was made for"
    return len(seen), None


def _way(seen: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    found: list[str] = []
    while (before := seen[world]) is not None:
        world, step = before
        found.append(step)
    return tuple(reversed(found))


def _with(things: tuple, thing: NamedTuple) -> tuple:  # type: ignore[type-arg]
    """Return the things with one more, in one order whatever order they came in."""
    return tuple(sorted((*things, thing), key=repr))


def _without(things: tuple, thing: NamedTuple) -> tuple:  # type: ignore[type-arg]
    left = list(things)
    left.remove(thing)
    return tuple(left)
