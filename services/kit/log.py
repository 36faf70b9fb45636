"""Log lines as JSON on stdout, and as daily files where `LOG_DIR` says so.

Every line carries the context of its call (trace id, user, platform) without anybody passing it
on. Secrets never reach a line: fields marked `debug_redact` in the proto and keys that sound
like a secret are covered, whoever logs them.
"""

import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.kit.clock import now

COVER: Final = "***"

_FILE_BYTES = 20 * 1024 * 1024
_KEEP_DAYS = 30
_LONGEST_TEXT = 8192

_SECRET_KEY = re.compile(
    r"authorization|cookie|token$|^token|password|passwd|secret|api_?key|private_?key|session_?key|signature|^sig$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?P<bearer>bearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?P<url>[a-z][a-z0-9+.-]*://[^/@:\s]*:)[^@/\s]+(?=@)",
    re.IGNORECASE,
)
# What every record has; anything else on it came through `extra`.
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}

_context: ContextVar[Mapping[str, str] | None] = ContextVar("cadenza_log", default=None)


class context:  # noqa: N801  # read as a statement: `with log.context(user_id=...)`
    """Add the fields to every line logged inside; an empty value removes its field."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        merged = {**(_context.get() or {}), **self._fields}
        if "" in self._fields.values():
            merged = {name: value for name, value in merged.items() if value}
        self._token = _context.set(merged)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _context.reset(self._token)


def configure(service: str, level: str = "info", directory: Path | None = None) -> None:
    """Send all logging of this process to stdout as JSON lines, and to files when asked."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if directory is not None:
        handlers.append(DailyFiles(directory, "combined"))
        errors_only = DailyFiles(directory, "error")
        errors_only.setLevel(logging.ERROR)
        handlers.append(errors_only)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    formatter = JsonLines(service)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level.upper())
    # Frameworks whose info lines repeat what our own lines say.
    for name in ("aiohttp.access", "alembic", "asyncio", "rq.worker", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """Renders a record as one line of JSON."""

    def __init__(self, service: str) -> None:
        """Put the service's name on every line."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what cannot be rendered is rendered as text, never raised."""
        line: dict[str, Any] = {
            "timestamp": _stamp(record.created),
            "level": record.levelname.lower(),
            "message": masked(record.getMessage()),
            "service": self._service,
            "logger": record.name,
            **(_context.get() or {}),
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                line[name] = covered(name, value)
        if record.exc_info:
            line["stack"] = masked(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class DailyFiles(logging.Handler):
    """Writes `<name>-YYYY-MM-DD.log`, goes on in `.1.log` after 20 MB, keeps 30 days.

    Files are only appended to and never renamed, so any number of processes can share them.
    """

    def __init__(self, directory: Path, name: str, *, limit_bytes: int = _FILE_BYTES) -> None:
        """Write into the directory, which is made when it is missing."""
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = name
        self._limit_bytes = limit_bytes
        self._guard = threading.Lock()
        self._stream: TextIO | None = None
        self._date = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line; an error of the disk is reported on stderr and not raised."""
        try:
            line = self.format(record) + "\n"
            with self._guard:
                self._open(datetime.fromtimestamp(record.created, tz=UTC).strftime("%Y-%m-%d"))
                assert self._stream is not None
                self._stream.write(line)
                self._stream.flush()
        except Exception:  # noqa: BLE001  # logging must never break what it reports about
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._stream is not None:
                self._stream.close()
                self._stream = None
        super().close()

    def _open(self, date: str) -> None:
        """Have the right file open: of this date, and not over its size."""
        if self._stream is not None and date == self._date and self._stream.tell() < self._limit_bytes:
            return
        if self._stream is not None:
            self._stream.close()
        if date != self._date:
            self._remove_old()
        self._date = date
        number = 0
        while True:
            suffix = f".{number}" if number else ""
            path = self._directory / f"{self._name}-{date}{suffix}.log"
            if not path.exists() or path.stat().st_size < self._limit_bytes:
                break
            number += 1
        self._stream = path.open("a", encoding="utf-8")

    def _remove_old(self) -> None:
        oldest = f"{self._name}-{(now() - timedelta(days=_KEEP_DAYS)).strftime('%Y-%m-%d')}"
        for path in self._directory.glob(f"{self._name}-????-??-??*.log"):
            if path.name < oldest:
                path.unlink(missing_ok=True)


def masked(text: str) -> str:
    """Return the text, cut to a sane length, with tokens and passwords in addresses covered."""
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + f"... {len(text)} characters"
    return _SECRET_TEXT.sub(lambda found: (found["bearer"] or found["url"] or "") + COVER, text)


def covered(name: str, value: object) -> object:
    """Return the value of a field as it may be logged."""
    if _SECRET_KEY.search(name):
        return COVER if value else value
    if isinstance(value, Message):
        return redacted(value)
    if isinstance(value, Mapping):
        return {str(key): covered(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [covered(name, inner) for inner in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return masked(value) if isinstance(value, str) else value


def redacted(message: Message) -> dict[str, Any]:
    """Return the message as a dictionary, every field marked `debug_redact` covered, at any depth.

    Python's own text form of a message does not hide them.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    hidden = _strip(copy)
    rendered: dict[str, Any] = MessageToDict(copy, preserving_proto_field_name=True)
    for path in hidden:
        place: Any = rendered
        for step in path[:-1]:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[int(step)]
        place[path[-1]] = COVER
    return rendered


def _strip(message: Message) -> list[tuple[str, ...]]:
    """Clear the marked fields in place and return where they were."""
    hidden: list[tuple[str, ...]] = []
    for field, value in message.ListFields():
        if field.GetOptions().debug_redact:
            message.ClearField(field.name)
            hidden.append((field.name,))
        elif field.message_type is not None:
            hidden.extend((field.name, *path) for path in _strip_inside(field, value))
    return hidden


def _strip_inside(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, ...]]:
    kind = field.message_type
    assert kind is not None
    if kind.GetOptions().map_entry:
        if kind.fields_by_name["value"].message_type is not None:
            for key in value:
                # JSON spells a boolean key in lower case.
                text = str(key).lower() if isinstance(key, bool) else str(key)
                yield from ((text, *path) for path in _strip(value[key]))
    elif field.is_repeated:
        for index, each in enumerate(value):
            yield from ((str(index), *path) for path in _strip(each))
    else:
        yield from _strip(value)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
