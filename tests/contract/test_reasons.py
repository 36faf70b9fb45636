"""Rules about the closed list of error reasons."""

import re
from pathlib import Path

import pytest

from cadenza.error.v1.reason_pb2 import Reason
from gateway.envelope import STATUSES
from gateway.messages import MESSAGES
from services.kit.rpc.errors import CODES

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = [name.removeprefix("REASON_") for name in Reason.keys() if name != "REASON_UNSPECIFIED"]  # noqa: SIM118  # an enum wrapper


def _code() -> str:
    """Return our code without the three tables that name every reason."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "gateway")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in {"envelope.py", "messages.py"}
    )
    return re.sub(r"^CODES\b.*?^}", "", text, flags=re.DOTALL | re.MULTILINE)


CODE = _code()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_reason_is_complete(symbol: str) -> None:
    """Every reason has a gRPC code, an HTTP status, and a sentence in both languages."""
    assert symbol in CODES
    assert 400 <= STATUSES[symbol] <= 599
    assert MESSAGES[symbol].zh
    assert MESSAGES[symbol].en


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_reason_is_used(symbol: str) -> None:
    """Every reason is raised somewhere: the list holds nothing that cannot happen."""
    assert re.search(rf'"{symbol}"', CODE)
