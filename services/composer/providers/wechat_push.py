"""What WeChat pushes: whether it is WeChat's, and what it says. Facts: WeChat's page on receiving messages and events.

In the plain mode the signature covers a token, the time and a nonce, not the body; so a verdict is taken from it only
for a reference that nobody can guess. In the safe mode the body is encrypted under the console's key: its 43 characters
carry two stray bits and are decoded leniently, the padding counts to 32, and the mini-program's id stands at the end.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.composer.domain.moderation import SoundVerdict, Standing
from services.composer.providers.wechat_safety import NAME, standing_in
from services.kit.clock import Clock, now
from services.kit.errors import PermissionDenied

_BLOCK: Final = 32
_KEY_CHARACTERS: Final = 43
_FRAME: Final = 20  # 16 random bytes and the length
_OLD_S: Final = 3600.0
_ACCEPTED: Final = "success"


class WechatPush:
    """Reads what is pushed to one mini-program."""

    def __init__(self, *, token: str, aes_key: str, app_id: str, clock: Clock = now) -> None:
        """Check with the console's token and open with its EncodingAESKey; without a key only plain pushes are read.

        ValueError for a key that is none.
        """
        if aes_key and len(aes_key) != _KEY_CHARACTERS:
            raise ValueError(f"an EncodingAESKey has {_KEY_CHARACTERS} characters")
        self._clock = clock
        self._token = token
        self._key = base64.b64decode(aes_key + "=") if aes_key else b""
        self._app_id = app_id

    def read(self, query: Mapping[str, str], body: bytes) -> tuple[str, SoundVerdict | None]:
        """Return what WeChat wants to hear, and the verdict that was pushed or None for any other message.

        Without a body WeChat checks the address, and hears back what it said. Raises PermissionDenied for what WeChat
        has not signed. A verdict that could not be reached asks a person to look.
        """
        if not body:
            self._require(query.get("signature", ""), query)
            return query.get("echostr", ""), None
        return _ACCEPTED, self._verdict(query, body)

    def _verdict(self, query: Mapping[str, str], body: bytes) -> SoundVerdict | None:
        message = self._opened(query, body)
        if message.get("Event") != "wxa_media_check":
            return None
        reference = str(message.get("trace_id", ""))[:128]
        result = message.get("result")
        failed = str(message.get("errcode", 0)) not in {"0", ""}
        if failed or not isinstance(result, dict):
            return SoundVerdict(reference, NAME, Standing.REVIEW, "unjudged")
        return SoundVerdict(reference, NAME, standing_in(result.get("suggest")), str(result.get("label", ""))[:64])

    def _opened(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        if not self._key:
            self._require(query.get("signature", ""), query)
            return _plain(body)
        # Where a key is set nothing unencrypted counts: its signature would not cover what it says.
        sealed = str(_plain(body).get("Encrypt", ""))
        self._require(query.get("msg_signature", ""), query, sealed)
        return _plain(self._decrypted(sealed))

    def _require(self, signature: str, query: Mapping[str, str], *more: str) -> None:
        stamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        parts = sorted([self._token, stamp, nonce, *more])
        wanted = hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()
        if not self._token or not hmac.compare_digest(wanted.encode(), signature.encode()):
            raise PermissionDenied("this is not signed by WeChat")
        if not stamp.isdigit() or abs(self._clock().timestamp() - int(stamp)) > _OLD_S:
            raise PermissionDenied("this was signed too long ago")

    def _decrypted(self, sealed: str) -> bytes:
        try:
            data = base64.b64decode(sealed, validate=True)
            opener = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).decryptor()
            framed = opener.update(data) + opener.finalize()
            framed = framed[: -_padding(framed)]
            (length,) = struct.unpack(">I", framed[16:_FRAME])
            message, app_id = framed[_FRAME : _FRAME + length], framed[_FRAME + length :]
        except (ValueError, struct.error, IndexError) as error:
            raise PermissionDenied("this cannot be opened") from error
        if app_id.decode(errors="replace") != self._app_id:
            raise PermissionDenied("this is for another mini-program")
        return message


def _padding(framed: bytes) -> int:
    """Return how many bytes of padding there are; ValueError for what is none."""
    count = framed[-1]
    if not 1 <= count <= _BLOCK or framed[-count:] != bytes([count]) * count:
        raise ValueError("the padding is wrong")
    return count


def _plain(body: bytes) -> dict[str, Any]:
    """Return a message, JSON or flat XML by the console's choice; nothing for what is neither."""
    text = body.decode(errors="replace").strip()
    if text.startswith("<"):
        return _xml(text)
    try:
        plain = json.loads(text)
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}


def _xml(text: str) -> dict[str, Any]:
    # No document type: entities are how XML is made to read files and to blow up.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return {}
    try:
        root = ET.fromstring(text)  # noqa: S314  # entities are refused above
    except ET.ParseError:
        return {}
    return {each.tag: {leaf.tag: leaf.text or "" for leaf in each} if len(each) else each.text or "" for each in root}
