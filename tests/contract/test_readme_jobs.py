"""What README says of jobs: the drawing of their states, and how a receiver of webhooks checks a signature."""

import re
import time
from pathlib import Path
from typing import Any

from services.composer.domain.webhook import new_secret, signature
from services.kit.jobs.states import Event, IllegalTransition, State, transition

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
_ARROW = re.compile(r"^ +(\S+) --> (\S+?)(?:: (\w+))?$", re.MULTILINE)


def _block(name: str) -> str:
    """Return what stands between the marks of this name."""
    return README.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]


def _leads_to(state: State, event: Event) -> State | None:
    try:
        return transition(state, event)
    except IllegalTransition:
        return None


def test_the_drawing_is_the_table() -> None:
    """Every arrow of the drawing is a transition, every transition an arrow, and the ends are the finished states."""
    drawn = _ARROW.findall(_block("states"))
    pairs = [(state, event) for state in State for event in Event if _leads_to(state, event)]
    wanted = {(state.value, str(_leads_to(state, event)), event.value) for state, event in pairs}

    assert len(drawn) == len(set(drawn))
    assert {arrow for arrow in drawn if "[*]" not in arrow} == wanted
    assert {source for source, target, _ in drawn if target == "[*]"} == {each.value for each in State if each.finished}
    assert [target for source, target, _ in drawn if source == "[*]"] == [State.PENDING.value]


def test_the_example_verifies_webhooks() -> None:
    """The code in README takes what we sign, also with the old secret while it is rotated, and nothing else."""
    space: dict[str, Any] = {}
    exec(_block("webhook").strip().removeprefix("```python").removesuffix("```"), space)  # noqa: S102  # our own README
    is_genuine: Any = space["is_genuine"]
    secret, old, body, now_s = new_secret(), new_secret(), b'{"a":1}', int(time.time())

    assert is_genuine(secret, signature([secret], now_s, body), body)
    assert is_genuine(old, signature([secret, old], now_s, body), body)
    assert not is_genuine(new_secret(), signature([secret, old], now_s, body), body)
    assert not is_genuine(secret, signature([secret], now_s, body), body + b" ")
    assert not is_genuine(secret, signature([secret], now_s - 400, body), body)
    assert not is_genuine(secret, signature([secret], now_s - 400, body).replace(str(now_s - 400), str(now_s)), body)
    assert not is_genuine(secret, "", body)
    assert not is_genuine(secret, "v1=,t=x", body)
