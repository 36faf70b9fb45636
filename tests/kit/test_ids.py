"""Ids are UUIDs of version 7 and sort in the order in which they were made."""

import threading
import time
import uuid

import pytest

from services.kit.ids import is_id, new_id


def test_an_id_is_a_version_7_uuid() -> None:
    """The standard library reads the text as version 7, variant RFC 9562."""
    parsed = uuid.UUID(new_id())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_an_id_tells_its_millisecond() -> None:
    """The first 48 bits are the time in milliseconds since 1970."""
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(new_id()).int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000 + 1


def test_ids_sort_in_the_order_they_were_made() -> None:
    """Thousands within one millisecond are still in order and all different."""
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_clock_that_steps_back_breaks_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id made after the clock was set back is still greater than the one before."""
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000_000_000_000)
    assert new_id() > first


def test_threads_never_get_the_same_id() -> None:
    """Ids made by several threads at once are all different."""
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(new_id() for _ in range(3000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 12_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01a204da-d39c-72f7-b12e-193f12b3b179", True),
        ("c0ffee00-0000-4000-8000-000000000000", True),
        ("01A204DA-D39C-72F7-B12E-193F12B3B179", False),
        ("01a204dad39c72f7b12e193f12b3b179", False),
        ("01a204da-d39c-72f7-b12e-193f12b3b17", False),
        ("01a204da-d39c-72f7-b12e-193f12b3b179\n", False),
        ("01a204da-d39c-72f7-c12e-193f12b3b179", False),
        ("", False),
        ("' or 1=1 --", False),
    ],
)
def test_only_a_canonical_uuid_is_an_id(text: str, expected: bool) -> None:  # noqa: FBT001  # a table
    """Anything a query would choke on is told apart."""
    assert is_id(text) is expected
