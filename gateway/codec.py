"""Messages to JSON and back, in the house's spelling.

Out: snake_case names; 64-bit integers are numbers; zeros, falses and empty lists are there; an
unset message or `optional` field is null, so that every key of a type is always present; enums
are short lower-case words; times are RFC 3339 with Z; bytes are base64.

In: snake_case or camelCase; null means unset; enums by word, full name or number; everything
else as in the proto3 JSON mapping. Unknown keys, duplicate keys, bad UTF-8, NaN, nesting beyond
32 levels and more than 20,000 values are refused with PARAM_INVALID and the field's path.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
from google.protobuf.message import Message

from gateway.codec_decode import UNUSUAL, Decoders
from gateway.codec_encode import Encoders
from gateway.codec_strict import measure, parse_exact, read_strictly, refuse_zero_characters
from gateway.shapes import shape_of
from services.kit.errors import ParamInvalid

M = TypeVar("M", bound=Message)

_BLANKS: Final = (b" ", b"\t", b"\n", b"\r")


class Codec:
    """Both directions for every message type; functions are compiled when first needed."""

    def __init__(self) -> None:
        """Start with nothing compiled."""
        self._encoders = Encoders()
        self._decoders = Decoders()
        # By the class, which is quicker to find than the name of its type.
        self._writers: dict[type[Message], Callable[[Message], Any]] = {}
        self._makers: dict[type[Message], Callable[[Any], Any]] = {}

    def prepare(self, *types: type[Message]) -> None:
        """Compile both directions of the types now, so that no request waits for it."""
        for each in types:
            self._writer(each)
            self._maker(each)

    def encode(self, message: Message) -> Any:
        """Return the message as JSON values that orjson can write."""
        return (self._writers.get(type(message)) or self._writer(type(message)))(message)

    def decode(self, raw: bytes, into: type[M]) -> M:
        """Return the message that the JSON text describes.

        Raises ParamInvalid naming the field, or `body` when the text as a whole is at fault.
        """
        try:
            tree = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            description = f"is not valid JSON at line {error.lineno}, column {error.colno}"
            raise ParamInvalid.of("body", description, "json") from error
        exact = None if _brings_each_key_once(raw, measure(tree)) else parse_exact(raw)
        if rb"\u0000" in raw:
            refuse_zero_characters(tree)
        make = self._makers.get(into) or self._maker(into)
        try:
            made: M = make(tree)
        except UNUSUAL:
            return read_strictly(parse_exact(raw) if exact is None else exact, into)
        return made

    def _writer(self, cls: type[Message]) -> Callable[[Message], Any]:
        write = self._writers[cls] = self._encoders.of(shape_of(cls))
        return write

    def _maker(self, into: type[Message]) -> Callable[[Any], Any]:
        make = self._makers[into] = self._decoders.of(shape_of(into))
        return make


def _brings_each_key_once(raw: bytes, keys: int) -> bool:
    """Return whether the text surely names as many keys as were found in it; orjson keeps the last of two equal ones.

    Every key brings a colon, so as many colons as keys prove it; more may be colons inside of texts. Where no blank
    stands before a colon every key also brings a quote with a colon behind it, which hardly a text does.
    """
    if raw.count(b":") == keys:
        return True
    if raw.count(b'":') != keys:
        return False
    # A single byte is found much faster than two, and blanks other than spaces are rare.
    return not any(blank in raw and blank + b":" in raw for blank in _BLANKS)
