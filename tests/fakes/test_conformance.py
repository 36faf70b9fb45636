"""What every stand-in owes: it notes what it is asked, refuses a wrong key as its vendor does, and fails as it says."""

from dataclasses import replace

import aiohttp
import pytest

from tests.fakes.__main__ import VENDORS
from tests.fakes.stand_in import Ask, StandIn, served

SHORT_S = 0.05
EVERY = pytest.mark.parametrize("kind", VENDORS, ids=lambda kind: kind.name)
EVERY_FAULT = pytest.mark.parametrize(
    ("kind", "fault"),
    [pytest.param(kind, fault, id=f"{kind.name}-{fault}") for kind in VENDORS for fault in kind.FAULTS],
)


@EVERY
async def test_it_notes_what_it_is_asked(kind: type[StandIn]) -> None:
    """Every call of an ordinary go stands in the log with its answer, and none of them went wrong."""
    async with served(kind()) as vendor, aiohttp.ClientSession() as http:
        replies = await vendor.use(Ask(http, vendor.url))
        assert replies
        assert [each.status for each in vendor.seen] == [each.status for each in replies]
        assert not any(vendor.refused(each) for each in replies)


@pytest.mark.parametrize("kind", [each for each in VENDORS if not each.OPEN_TO_ALL], ids=lambda kind: kind.name)
async def test_a_wrong_key_is_refused_in_the_vendors_way(kind: type[StandIn]) -> None:
    """With a wrong key the first call is answered as this vendor refuses, and nothing is brought to anybody."""
    async with served(kind()) as vendor, aiohttp.ClientSession() as http:
        replies = await vendor.use(Ask(http, vendor.url), good_key=False)
        assert vendor.refused(replies[0])
        assert not vendor.letters


@EVERY_FAULT
async def test_a_fault_really_happens(kind: type[StandIn], fault: str) -> None:
    """A fault that is set is met by an ordinary go, once, and shows: in status, body, a broken connection or time."""
    async with served(kind()) as vendor, aiohttp.ClientSession() as http:
        known = vendor.FAULTS[fault]
        vendor.fail(replace(known, delay_s=min(known.delay_s, SHORT_S)))
        replies = await vendor.use(Ask(http, vendor.url))
        assert not vendor.faults
        if known.cut:
            assert any(each.status == 0 for each in replies)
        elif known.status:
            expected = known.body if isinstance(known.body, dict) else {}
            assert any(each.status == known.status and each.json() == expected for each in replies)
        elif known.delay_s and not known.name:
            assert any(each.seconds >= SHORT_S for each in vendor.seen)


def test_every_vendor_says_what_it_is() -> None:
    """Names are paths and differ; the page has a sentence for each and at least four ways to fail."""
    assert len({kind.name for kind in VENDORS}) == len(VENDORS)
    for kind in VENDORS:
        assert kind.name.replace("_", "").isalnum()
        assert kind.__doc__
        assert len(kind.FAULTS) >= 4
