"""Page tokens: the sort key of the last row, opaque to clients, checked on the way back in.

Keyset paging reads every page in the same time and neither skips nor repeats a row that
was there before the first page.
"""

import base64
import binascii
import json
from datetime import UTC, datetime

from services.kit.errors import ParamInvalid
from services.kit.ids import is_id

Key = str | int | datetime

_FIELD = "page_token"
_LONGEST = 512
_MOST_VALUES = 4


def encode_token(*values: Key) -> str:
    """Return a token for URLs that `decode_token` turns back into equal values."""
    plain = [{"t": value.astimezone(UTC).isoformat()} if isinstance(value, datetime) else value for value in values]
    data = json.dumps(plain, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_token(token: str) -> tuple[Key, ...]:
    """Return the values of a token; empty for the empty token of the first page.

    Raises ParamInvalid for the field `page_token` on anything that `encode_token` cannot make.
    """
    if not token:
        return ()
    if len(token) > _LONGEST:
        raise ParamInvalid.of(_FIELD, "is too long")
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(plain, list) or not 0 < len(plain) <= _MOST_VALUES:
            raise ParamInvalid.of(_FIELD, "is not one of ours")
        return tuple(_value(each) for each in plain)
    except (UnicodeError, binascii.Error, ValueError, RecursionError) as error:
        raise ParamInvalid.of(_FIELD, "is not one of ours") from error


def decode_id(token: str) -> str:
    """Return the id that a page ended with, empty for the first page; raises ParamInvalid as `decode_token` does."""
    match decode_token(token):
        case ():
            return ""
        case (str(last),) if is_id(last):
            return last
        case _:
            raise ParamInvalid.of(_FIELD, "is not one of ours")


def _value(plain: object) -> Key:
    """Return one value of a token; ValueError when it is of no kind that tokens hold."""
    if isinstance(plain, dict) and list(plain) == ["t"] and isinstance(plain["t"], str):
        moment = datetime.fromisoformat(plain["t"])
        if moment.tzinfo is None:
            message = "a time without its zone"
            raise ValueError(message)
        return moment
    if isinstance(plain, str) and "\0" not in plain:
        return plain
    # A 64-bit column could not hold more, and the driver would fail instead of the check.
    if type(plain) is int and abs(plain) < 1 << 63:
        return plain
    message = "neither text nor number nor time"
    raise ValueError(message)


def clamp_page_size(size: int, default: int = 20, most: int = 100) -> int:
    """Return the number of rows to read: the default for zero or less, never above `most`."""
    return default if size <= 0 else min(size, most)
