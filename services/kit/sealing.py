"""Secrets at rest: AES-256-GCM under a named key, bound to the place where they are kept.

The sealed form is `v1.<key id>.<nonce and ciphertext>`. The key id lets the encryption key
change: old ones only open, the first one seals. The place is authenticated, so that a sealed
value moved to another row does not open there.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "v1"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_KEY_ID_CHARACTERS = 8


class CannotOpen(Exception):
    """The sealed text is damaged, from another place, or sealed under a key that is not at hand."""


class Sealer:
    """Seals and opens small secrets."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Seal with the first key and open with any; ValueError when one is not 32 bytes."""
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            msg = f"encryption keys have {_KEY_BYTES} bytes"
            raise ValueError(msg)
        self._ciphers = {_key_id(key): AESGCM(key) for key in reversed(keys)}
        self._current = _key_id(keys[0])

    @classmethod
    def from_hex(cls, current: str, old: str = "") -> "Sealer":
        """Return a sealer for keys written in hex, the old ones separated by commas."""
        return cls([bytes.fromhex(each.strip()) for each in (current, *old.split(",")) if each.strip()])

    def seal(self, secret: bytes, place: str) -> str:
        """Return the sealed text of a secret for one place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self._current].encrypt(nonce, secret, place.encode())
        return f"{_VERSION}.{self._current}.{base64.urlsafe_b64encode(nonce + ciphertext).decode()}"

    def open(self, sealed: str, place: str) -> bytes:
        """Return the secret; CannotOpen when it was not sealed for this place under a known key."""
        version, _, rest = sealed.partition(".")
        key_id, _, data = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        if version != _VERSION or cipher is None:
            raise CannotOpen("sealed under a key that is not configured")
        try:
            raw = base64.urlsafe_b64decode(data)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise CannotOpen("damaged, or sealed for another place") from error


def _key_id(key: bytes) -> str:
    """Return the public name of a key: the beginning of its hash."""
    return hashlib.sha256(b"cadenza.key-id.v1" + key).hexdigest()[:_KEY_ID_CHARACTERS]
