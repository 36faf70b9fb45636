"""Addresses into the local store: an HMAC says what may be done with which key until when.

The signature covers method, bucket, key, expiry, type, size and file name together, so an
address for reading cannot write and one for a small file cannot carry a large one.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from services.kit.objects.store import ObjectUrlExpired, ObjectUrlInvalid

_SHORTEST_SECRET = 16


@dataclass(frozen=True)
class Grant:
    """What a verified address allows; type and size are those that an upload must have."""

    content_type: str
    size: int
    filename: str


class Signer:
    """Signs and checks the query of addresses with one secret."""

    def __init__(self, secret: str) -> None:
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"OBJECT_URL_SECRET must have at least {_SHORTEST_SECRET} characters")
        self._secret = secret.encode()

    def query(self, method: str, place: tuple[str, str], expire_s: int, grant: Grant) -> str:
        """Return the query string for a bucket and key, valid until the Unix time `expire_s`."""
        values = {"exp": str(expire_s)}
        if grant.content_type:
            values["ct"] = grant.content_type
        if grant.size:
            values["len"] = str(grant.size)
        if grant.filename:
            values["fn"] = grant.filename
        return urlencode({**values, "sig": self._signature(method, place, values)})

    def verify(self, method: str, place: tuple[str, str], query: Mapping[str, str], now_s: float) -> Grant:
        """Return what the address allows; HEAD counts as GET.

        Raises ObjectUrlInvalid for anything we did not sign, ObjectUrlExpired for what we did.
        """
        values = {name: query[name] for name in ("exp", "ct", "len", "fn") if name in query}
        # The time is judged after the signature, or a forger would learn which part was wrong.
        expected = self._signature("GET" if method == "HEAD" else method, place, values)
        if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode("utf-8", "replace")):
            raise ObjectUrlInvalid("the address is not signed for this request")
        if int(values["exp"]) <= now_s:
            raise ObjectUrlExpired("the address has expired")
        return Grant(values.get("ct", ""), int(values.get("len", "0")), values.get("fn", ""))

    def _signature(self, method: str, place: tuple[str, str], values: Mapping[str, str]) -> str:
        # As JSON, so that no value can be moved across the border to its neighbour.
        covered = json.dumps([method, *place, sorted(values.items())], separators=(",", ":"))
        digest = hmac.new(self._secret, covered.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
