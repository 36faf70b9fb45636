"""The client's name for a wish, with a fingerprint of the wish, ready for the use case to store.

The use case writes both on its own row, in the transaction of the effect, under a unique index.
A repeat finds the row and returns the first answer; another fingerprint under the same key is
`IdempotencyKeyReused`. Nothing is stored here: a key kept apart from its effect is a key that
a crash between the two turns into a lie.
"""

import hashlib

from google.protobuf.message import Message

from services.kit.rpc.call import Around, Call, IdempotencyKey


class Idempotency(Around):
    """Concern: `call.idempotency` is set when the request carries a request_id."""

    async def __aenter__(self) -> None:
        call = self.call
        if not call.method.has_request_id:
            return
        if call.request is None:
            call.checks.append(lambda message: _keep(call, message))
        else:
            _keep(call, call.request)


def request_hash(request: Message) -> str:
    """Return the sha256 in hex of the request without its request_id.

    Deterministic serialisation orders map entries; fields without a value do not count, so a
    client that spells out a default makes the same wish.
    """
    wish = type(request)()
    wish.CopyFrom(request)
    wish.ClearField("request_id")
    return hashlib.sha256(wish.SerializeToString(deterministic=True)).hexdigest()


def _keep(call: Call, message: Message) -> None:
    key: str = getattr(message, "request_id", "")
    if key and call.idempotency is None:
        call.idempotency = IdempotencyKey(key, request_hash(message))
