"""Where a call comes from, as the client said, and how moments and sessions are written in answers."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.auth.v1 import session_service_pb2 as pb
from services.auth.domain.session import Origin
from services.auth.usecases.session import Tokens
from services.kit.rpc.call import current_call

_TOKEN_TYPE = "Bearer"  # noqa: S105  # the name of the scheme
_ENGLISH = "en"


def origin() -> Origin:
    """Return where the running call comes from."""
    call = current_call()
    return Origin(call.platform, call.client_ip, call.client_agent)


def english() -> bool:
    """Return whether the person reads English rather than Chinese."""
    return current_call().locale == _ENGLISH


def session_message(tokens: Tokens) -> pb.Session:
    """Return a session with its tokens as answers carry it."""
    return pb.Session(
        session_id=tokens.session_id,
        user_id=tokens.user_id,
        access_token=tokens.access_token,
        access_expire_time=timestamp(tokens.access_expire_time),
        refresh_token=tokens.refresh_token,
        refresh_expire_time=timestamp(tokens.refresh_expire_time),
        expires_in=tokens.expires_in_s,
        token_type=_TOKEN_TYPE,
    )


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as messages carry it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
