"""Random requests of any method: plausible ones, ones at the edges of the contract, and ones beyond.

A wish is made once for all callers: what differs between them, their ids and their names, stands in it by a mark that
each caller replaces by its own.
"""

import random
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.routes import Binding
from gateway.shapes import enum_of, is_map, message_of, shape_of
from tests.differential.files import file_wish

# Replaced by two letters of the caller.
MARK = "\N{WHITE SQUARE}"
# Replaced by four digits of the caller, in the middle of a number, where masks hide them.
DIGITS = "\N{WHITE DIAMOND}"
# Around the number of one of the caller's ids, share codes or page tokens; numbers begin at the latest one.
OWN = "\N{BLACK SQUARE}"
CODE = "\N{BLACK CIRCLE}"
TOKEN = "\N{BLACK DIAMOND}"

_TEXTS = (
    "",
    "a",
    " ",
    "rain",
    "夏天的风",
    'Ode to "joy" & <b>',
    "línea\nnueva",
    "tab\there",
    "/",
    "a/b",
    "%2F",
    "..",
    "🎵🎶",
    "\N{RIGHT-TO-LEFT OVERRIDE}right to left",
    "e\N{COMBINING ACUTE ACCENT}",
    "x" * 64,
    "长" * 130,
    "y" * 300,
    "z" * 6000,
)
_OF_NAME: dict[str, tuple[str, ...]] = {
    "account": (f"{MARK}reader", f"{MARK}@cadenza.test", "nobody@cadenza.test"),
    "avatar_url": ("https://cadenza.test/a.png", "javascript:alert(1)", "not an address"),
    "category": ("", "pop", "jazz", "nothing"),
    "code": ("", "123456", "ABC234", "000000"),
    "content_type": ("audio/wav", "audio/webm; codecs=opus", "text/plain", "audio/"),
    "country_code": ("86", "+86", "1"),
    "email": (f"{MARK}@cadenza.test", "no mail", f"{MARK}.{MARK}@cadenza.test"),
    "filename": ("take.wav", "../../etc/passwd", "夜曲.mp3"),
    "lyrics": ("[verse]\n海边的风", "la la la", ""),
    "new_password": ("correct horse battery 7", "short", "12345678"),
    "password": ("correct horse battery 7", "wrong", "right one"),
    "phone": (f"138{DIGITS}8000", f"+86138{DIGITS}8000", "12"),
    "price_kind": ("music", "lyrics", "nothing"),
    "provider": ("web", "wechat", "apple", "nobody"),
    "provider_id": (f"device-{MARK}-0001", f"device-{MARK}-0002", "x"),
    "style": ("pop", "guofeng", "nothing"),
    "target": (f"{MARK}@cadenza.test", f"138{DIGITS}8000", "nowhere"),
    "theme": ("rain", "夏天", ""),
    "title": ("Ode", "夏天的风", "t" * 129),
    "url": ("https://hooks.cadenza.test/a", "http://127.0.0.1/x", "ftp://x", "nothing"),
    "username": (f"{MARK}reader", f"{MARK}other", "x", f"名字{MARK}"),
}
_WHOLE = (-(2**31), -1, 0, 1, 2, 3, 7, 30, 60, 75, 100, 101, 120, 501, 3600, 86_400, 100_000, 2**31 - 1)
_PARTS = (-1.0, 0.0, 0.5, 1.0, 60.0, 96.5, 120.0, 300.0, 1e9)
# What only one person can have.
_UNIQUE = frozenset({"account", "email", "phone", "provider_id", "target", "username"})
# What ends when it likes, and is told as it stands just then.
_LEFT_OUT = frozenset({"in_background"})
_MOST_IDS = 12
_DEEP = 2


def wish(binding: Binding, chance: random.Random) -> tuple[Message, ...]:
    """Return a request of the method: its one message, or those of an upload.

    What the path of the JSON route names is never empty, for an empty part is another address.
    """
    request = binding.method.request_type()
    for field in shape_of(request).fields:
        if field.name in {each.name for each in binding.variables}:
            while not getattr(request, field.name):
                _set(request, field, chance, deep=0)
        elif field.name in _LEFT_OUT:
            continue
        elif field.name == "seed":
            # Without one each song and text is another.
            request.seed = chance.randrange(1, 1000)  # type: ignore[attr-defined]  # the field is there
        elif chance.random() < _likely(field):
            _set(request, field, chance, deep=0)
    return file_wish(request, chance) if binding.method.client_streaming else (request,)


def _likely(field: FieldDescriptor) -> float:
    """Return how often a field is set: those that must be there nearly always, so that requests get somewhere."""
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    needed = rules.required or rules.string.min_len or rules.string.uuid or rules.enum.not_in or rules.int64.gte > 0
    return 0.95 if needed else 0.35


def _set(message: Any, field: FieldDescriptor, chance: random.Random, *, deep: int) -> None:
    if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
        return
    if is_map(field):
        return
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        _fill(message, field, chance, deep=deep)
    elif field.is_repeated:
        getattr(message, field.name).extend(_value(field, chance) for _ in range(chance.randrange(4)))
    else:
        setattr(message, field.name, _value(field, chance))


def _fill(message: Any, field: FieldDescriptor, chance: random.Random, *, deep: int) -> None:
    if deep >= _DEEP:
        return
    for _ in range(chance.randrange(3) if field.is_repeated else 1):
        inner = getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)
        if not field.is_repeated:
            inner.SetInParent()
        if message_of(field).full_name == "google.protobuf.Timestamp":
            inner.seconds = chance.choice((0, 1, 1_700_000_000, 1_900_000_000))
            continue
        for each in shape_of(inner).fields:
            if chance.random() < 0.6:
                _set(inner, each, chance, deep=deep + 1)


def _value(field: FieldDescriptor, chance: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice([each.number for each in enum_of(field).values])
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return chance.choice(_PARTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.randrange(9))
    if kind != FieldDescriptor.CPPTYPE_STRING:
        unsigned = kind in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
        return abs(chance.choice(_WHOLE)) if unsigned else chance.choice(_WHOLE)
    return _text(field, chance)


def _text(field: FieldDescriptor, chance: random.Random) -> str:
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    if field.name == "page_token":
        return f"{TOKEN}{chance.randrange(4)}{TOKEN}" if chance.random() < 0.6 else chance.choice(("", "nonsense"))
    if field.name in _UNIQUE or (field.name in _OF_NAME and chance.random() < 0.8):
        return chance.choice(_OF_NAME[field.name])
    if rules.string.uuid or field.name.endswith(("_id", "_ids", "share_code")):
        turn = chance.random()
        if turn < 0.8:
            mark = CODE if field.name == "share_code" else OWN
            return f"{mark}{chance.randrange(_MOST_IDS)}{mark}"
        if turn < 0.9:
            return "018f0000-0000-7000-8000-00000000dead"
        return chance.choice(_TEXTS)
    return chance.choice(_TEXTS)
