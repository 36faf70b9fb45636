"""Path templates of `google.api.http` (google/api/http.proto, "Path template syntax"): reading, matching, precedence.

Served are literals, variables over one segment (`{job_id}`), over several (`{name=tracks/*}`), over all that is left
(`{path=**}`, last only), variables of inner fields (`{track.track_id}`) and a verb behind the last segment
(`{job_id}:cancel`). A wildcard outside of a variable would throw away what the client said and is refused, and so is
a verb behind `**`.

Matching looks at the path as it was sent: an escaped slash or colon is a character of a value and never a border.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.web_urldispatcher import Resource, UrlMappingMatchInfo
from google.protobuf.descriptor import FieldDescriptor

_LITERAL: Final = r"[A-Za-z0-9._~-]+"
_FIELD: Final = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
_SEGMENT = re.compile(rf"/(?:\{{({_FIELD})(?:=([^{{}}]+))?\}}|({_LITERAL}))")
_INNER = re.compile(rf"\*\*|\*|{_LITERAL}")
_VERB = re.compile(rf":({_LITERAL})")
_WILD: Final = frozenset({"*", "**"})

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile(r"(%2[Ff])")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class TemplateError(ValueError):
    """The text is no template that is served here; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One variable of a template and the field of the request that it fills."""

    name: str  # "job_id", or "track.track_id" for a field of an inner message
    field: FieldDescriptor
    wide: bool  # whether its value may hold several segments

    def decode(self, raw: str) -> str:
        """Return the value of the escaped text; ValueError for a broken escape or bytes that are no UTF-8.

        A value of several segments keeps its escaped slashes as they are, as http.proto demands, or a slash within a
        segment would become a border between two.
        """
        if "%" not in raw:
            return raw
        if _BROKEN_ESCAPE.search(raw):
            raise ValueError(raw)
        if not self.wide:
            return unquote_to_bytes(raw).decode()
        parts = _SLASH.split(raw)
        return "".join(part if place % 2 else unquote_to_bytes(part).decode() for place, part in enumerate(parts))


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template."""

    text: str
    segments: tuple[str, ...]  # literals, "*" and "**"
    names: tuple[tuple[str, bool], ...]  # each variable, and whether it is wide
    verb: str
    _pattern: re.Pattern[str]

    @property
    def shape(self) -> tuple[tuple[str, ...], str]:
        """Return what decides which paths match: two templates of one shape cannot be told apart."""
        return self.segments, self.verb

    @property
    def rank(self) -> tuple[Any, ...]:
        """Return the place in the order of trial: verbs first, then literal before `*` before `**`, from the left."""
        kinds = tuple((("*", "**").index(each) + 1, "") if each in _WILD else (0, each) for each in self.segments)
        return (not self.verb, kinds, self.verb)

    @property
    def beginning(self) -> str:
        """Return the whole segments before the first variable, by which aiohttp finds a route."""
        literal, variable, _ = self.text.partition("{")
        return literal.rpartition("/")[0] if variable else literal

    @property
    def documented(self) -> str:
        """Return the path as OpenAPI writes it, without what its variables may hold."""
        return re.sub(r"=[^{}]+\}", "}", self.text)

    def match(self, raw_path: str) -> dict[str, str] | None:
        """Return the escaped text of each variable, or None for a path that is another one's."""
        path = raw_path if "%" not in raw_path else _ESCAPE.sub(_plain, raw_path)
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        return {name: text or "" for (name, _), text in zip(self.names, found.groups(), strict=True)}

    def swallows(self, other: "Template") -> bool:
        """Return whether a path with the other one's verb would be found here first, as part of a variable.

        aiohttp looks at the longest literal beginning first, whatever the order of registration.
        """
        if self.verb or not other.verb or len(self.segments) != len(other.segments):
            return False
        pairs = list(zip(self.segments, other.segments, strict=True))
        meet = all(mine == his or mine in _WILD or his in _WILD for mine, his in pairs[:-1])
        return meet and self.segments[-1] in _WILD and _beginning(self) > _beginning(other)


def parse(text: str) -> Template:
    """Return the template; TemplateError says what of it is not served."""
    place, segments, names, pattern = 0, list[str](), list[tuple[str, bool]](), ""
    while token := _SEGMENT.match(text, place):
        place = token.end()
        name, inside, literal = token.groups()
        if literal:
            segments.append(literal)
            pattern += "/" + re.escape(literal)
            continue
        parts = (inside or "*").split("/")
        if not all(_INNER.fullmatch(part) for part in parts):
            raise TemplateError(f"{{{name}={inside}}} is no pattern of segments")
        if name in dict(names):
            raise TemplateError(f"{{{name}}} comes twice")
        names.append((name, inside not in {None, "*"}))
        segments += parts
        pattern += _group(parts)
    rest = text[place:]
    verb = _VERB.fullmatch(rest)
    if not segments or (rest and not verb):
        raise TemplateError(f"{(rest or text)[:40]} is no part of a path that is served")
    if "**" in segments[:-1] or (verb and segments[-1] == "**"):
        raise TemplateError("** must be the last of a path, without a verb")
    pattern += re.escape(rest)
    return Template(text, tuple(segments), tuple(names), verb[1] if verb else "", re.compile(pattern))


class TemplateResource(Resource):
    """The routes of one template, for aiohttp's router; variables stay escaped in `match_info`."""

    def __init__(self, template: Template) -> None:
        """Match by the template."""
        super().__init__()
        self._template = template

    @property
    def canonical(self) -> str:
        """Return the template as the contract writes it, which names the route in metrics."""
        return self._template.text

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Return the match, if any, and the methods that the path is served with."""
        found = self._template.match(request.rel_url.raw_path)
        if found is None:
            return None, set()
        route = self._routes.get(request.method)
        return (None if route is None else UrlMappingMatchInfo(found, route)), self._allowed_methods

    def raw_match(self, path: str) -> bool:
        """Return whether this is the resource of the path."""
        return path == self._template.text

    def _match(self, path: str) -> dict[str, str] | None:
        return self._template.match(path)

    def add_prefix(self, prefix: str) -> None:
        """Refuse: the paths of the contract are whole."""
        raise NotImplementedError(prefix)

    def get_info(self) -> Any:
        """Return what aiohttp shows of a resource."""
        return {"formatter": self.canonical}

    def url_for(self, **_parts: str) -> Any:
        """Refuse: addresses are made by clients."""
        raise NotImplementedError(self.canonical)


def _group(parts: list[str]) -> str:
    """Return the pattern of a variable; `**` holds nothing, too, and then the slash before it may be missing."""
    if parts == ["**"]:
        return "(?:/(.*))?"
    ready = ["(?:/.*)?" if part == "**" else "/[^/]+" if part == "*" else "/" + re.escape(part) for part in parts]
    return f"/({''.join(ready)[1:]})"


def _beginning(template: Template) -> int:
    literal = template.text.partition("{")[0]
    return literal.count("/")


def _plain(escape: re.Match[str]) -> str:
    """Return an escaped letter, digit or mark as itself; RFC 3986 section 6.2.2.2 holds the two equal."""
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0]
