"""WeChat's content checks: what is refused, and what the stand-in finds in words. Facts: contract page section 1.7.

The stand-in finds only what is in `WORDS`; a file is judged by what a test has said about its address.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import StreamReader

PASS, REVIEW, RISKY = "pass", "review", "risky"
NORMAL = 100
WORDS: Mapping[str, tuple[str, int]] = {
    "代开发票": (RISKY, 10001),
    "赌场开户": (RISKY, 20006),
    "sandbox-risky": (RISKY, 20002),
    "sandbox-review": (REVIEW, 21000),
}
"""What is found in which words, with WeChat's label: 10001 advertising, 20002 indecent, 20006 criminal, 21000 other."""

LONGEST_CONTENT = 2500
LARGEST_FILE = 10 * 1024 * 1024
AUDIO, IMAGE = 1, 2
SCENES = frozenset({1, 2, 3, 4})

Refusal = tuple[int, str]


def text_refusal(wish: Mapping[str, Any]) -> Refusal | None:
    """Return why a text is not checked, None when it is; the person is judged elsewhere."""
    content = wish.get("content")
    if not isinstance(content, str) or not content:
        return 44002, "empty post data"
    if len(content) > LONGEST_CONTENT:
        return 45002, "content size out of limit"
    return _shared_refusal(wish)


def media_refusal(wish: Mapping[str, Any]) -> Refusal | None:
    """Return why a file is not checked, None when it is."""
    url = wish.get("media_url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return 44002, "empty post data"
    if wish.get("media_type") not in {AUDIO, IMAGE}:
        return 40004, "invalid media type"
    return _shared_refusal(wish)


def _shared_refusal(wish: Mapping[str, Any]) -> Refusal | None:
    if wish.get("version") != 2:  # the only version there is any more
        return 40097, "invalid args"
    if wish.get("scene") not in SCENES:
        return 40129, "invalid scene"
    return None


def verdict_of(text: str) -> tuple[str, int]:
    """Return the worst that the words hold."""
    found = [finding for word, finding in WORDS.items() if word in text]
    return min(found, key=lambda each: each[0] != RISKY, default=(PASS, NORMAL))


def text_answer(wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer for a text: the whole verdict, and details of which one did not run and counts for nothing."""
    suggest, label = verdict_of(" ".join(str(wish.get(name, "")) for name in ("title", "nickname", "content")))
    words = [word for word in WORDS if word in str(wish["content"])]
    detail: list[dict[str, Any]] = [
        {"strategy": "content_model", "errcode": 0, "suggest": suggest, "label": label, "prob": 90},
        {"strategy": "keyword", "errcode": -1, "suggest": RISKY, "label": 20001, "level": 90},
    ]
    if words:
        detail.append({"strategy": "keyword", "errcode": 0, "suggest": suggest, "label": label, "keyword": words[0]})
    return {
        "errcode": 0,
        "errmsg": "ok",
        "trace_id": new_trace(),
        "result": {"suggest": suggest, "label": label},
        "detail": detail,
    }


def media_event(
    trace_id: str, app_id: str, *, verdict: tuple[str, int], errcode: int, now_s: float
) -> dict[str, object]:
    """Return the event that carries the verdict on a file; with an `errcode` the file could not be judged."""
    suggest, label = verdict
    return {
        "ToUserName": "gh_sandbox00001",
        "FromUserName": "o-sandbox-check",
        "CreateTime": int(now_s),
        "MsgType": "event",
        "Event": "wxa_media_check",
        "appid": app_id,
        "trace_id": trace_id,
        "version": 2,
        "result": {"suggest": suggest, "label": label},
        "detail": [
            {"strategy": "content_model", "errcode": errcode, "suggest": suggest, "label": label, "prob": 90},
        ],
        "errcode": errcode,
        "errmsg": "ok" if not errcode else "download failed",
    }


def new_trace() -> str:
    """Return a trace id as WeChat shapes them."""
    return "-".join(secrets.token_hex(4) for _ in range(3))


async def fits(body: StreamReader) -> bool:
    """Return whether a file is small enough to be judged; reads no more of it than that."""
    size = 0
    async for chunk in body.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > LARGEST_FILE:
            return False
    return True
