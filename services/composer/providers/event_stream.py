"""Server-sent events as models send their answers (WHATWG HTML, section 9.2): only what `data` lines carry.

Comment lines are passed over, some vendors keep a queued call alive with them; several `data` lines of one event are
one text; an event that the end of the connection cuts off is given too, for its reader to judge.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from services.kit.errors import BodyTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LONGEST: Final = 1024 * 1024


async def payloads(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the data of each event; raises BodyTooLarge for a line or an event beyond a million characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest, size = "", 0
    data: list[str] = []
    async for chunk in chunks:
        # A line may end in CR LF, and a chunk between the two.
        rest += decoder.decode(chunk)
        *lines, rest = rest.split("\n")
        for line in lines:
            text = line.removesuffix("\r")
            if not text:
                if data:
                    yield "\n".join(data)
                data, size = [], 0
            elif text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
                size += len(text)
        if len(rest) > _LONGEST or size > _LONGEST:
            raise BodyTooLarge("one event of the answer is too large", limit_bytes=_LONGEST)
    if rest.startswith("data:"):
        data.append(rest.removesuffix("\r")[5:].removeprefix(" "))
    if data:
        yield "\n".join(data)
