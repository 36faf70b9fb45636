"""What a client has to know before its first upload: limits, formats, pauses, and the error list."""

from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.caller import CALLER
from gateway.config import MEBIBYTE, Config
from gateway.envelope import CODES, STATUSES, success
from gateway.messages import MESSAGES

FORMATS: Final = ("mp3", "wav", "m4a", "aac", "ogg", "opus", "flac", "webm", "amr")


def describing(config: Config) -> Handler:
    """Return the handler of `/api/v1/config/client`; the sentences are in the caller's language."""
    data: dict[str, Any] = {
        "upload": {
            "max_bytes": config.upload_limit_mb * MEBIBYTE,
            "max_bytes_wxmp": config.upload_limit_wxmp_mb * MEBIBYTE,
            "max_bytes_presigned": config.upload_limit_presigned_mb * MEBIBYTE,
            "max_bytes_resumable": config.upload_limit_resumable_mb * MEBIBYTE,
            "min_duration_ms": round(config.audio_shortest_s * 1000),
            "max_duration_ms": round(config.audio_longest_s * 1000),
            "formats": list(FORMATS),
        },
        "body_max_bytes": config.body_limit_bytes,
        "poll_interval_ms": config.poll_interval_ms,
        "stream_heartbeat_ms": round(config.stream_heartbeat_s * 1000),
    }

    async def handle(http: web.Request) -> web.Response:
        caller = http[CALLER]
        errors = {
            name: {"code": code, "status": STATUSES[name], "message": MESSAGES[name].told(caller.locale, {})}
            for name, code in CODES.items()
        }
        return success({**data, "locale": caller.locale, "errors": errors}, caller)

    return handle
