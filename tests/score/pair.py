"""`python -m tests.score.pair SECONDS`: A and B made at the same time, by a process that holds no more than a worker.

Standard input brings the analysis as one line of JSON; the answer is the seconds it took.
"""

import asyncio
import json
import sys
import time
from typing import Any

from services.composer.providers import Order
from services.composer.providers.offline import OfflineProvider


async def _make(analysis: dict[str, Any], seconds: float) -> None:
    maker = OfflineProvider(soundfont="", ffmpeg="")
    orders = [Order("A", analysis, "", "pop", "", seconds, 20), Order("B", analysis, "", "pop", "", seconds, 20)]
    await asyncio.gather(*(maker.make(order, lambda _percent, _what: None, lambda: False) for order in orders))


def main() -> None:
    """Make both and say how long it took."""
    analysis = json.loads(sys.stdin.readline())
    began = time.perf_counter()
    asyncio.run(_make(analysis, float(sys.argv[1])))
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began}) + "\n")


if __name__ == "__main__":
    main()
