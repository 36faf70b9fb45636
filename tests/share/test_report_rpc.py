"""Complaints about shares, and what administrators make of them."""

from typing import Any

import grpc.aio
import pytest
from sqlalchemy import delete

from cadenza.share.v1 import report_service_pb2 as pb
from cadenza.share.v1 import report_service_pb2_grpc as report_grpc
from cadenza.share.v1 import share_service_pb2 as share_pb
from services.kit.db.engine import Database
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.share.storage.tables import reports
from tests.kit.rpc_layouts import bearer
from tests.share.conftest import Sharing


@pytest.fixture(autouse=True)
async def nothing_reported(database_url: str) -> None:
    """Begin without complaints."""
    db = Database(database_url)
    async with db.transaction() as tx:
        await tx.execute(delete(reports))
    await db.close()


def _stub(sharing: Sharing) -> Any:
    return report_grpc.ReportServiceStub(sharing.mesh.peers("gateway").channel("share"))


def _admin(sharing: Sharing) -> Any:
    return tuple(bearer(sharing.issuer.token(sub=new_id(), roles=["admin"])))


async def _share(sharing: Sharing, track_id: str = "", **terms: Any) -> share_pb.Share:
    track_id = track_id or sharing.add_track().track_id
    request = share_pb.CreateShareRequest(track_id=track_id, **terms)
    return (await sharing.stub().CreateShare(request, metadata=sharing.metadata())).share


async def _report(sharing: Sharing, code: str, address: str = "203.0.113.7", **wishes: Any) -> None:
    request = pb.ReportShareRequest(**{"share_code": code, "reason": pb.REPORT_REASON_SPAM, **wishes})
    await _stub(sharing).ReportShare(request, metadata=(("x-client-ip", address),))


async def _waiting(sharing: Sharing, **request: Any) -> pb.ListReportsResponse:
    answer: pb.ListReportsResponse = await _stub(sharing).ListReports(
        pb.ListReportsRequest(**request), metadata=_admin(sharing)
    )
    return answer


async def _decide(sharing: Sharing, code: str, *, take_down: bool) -> None:
    request = pb.DecideReportsRequest(share_code=code, take_down=take_down)
    await _stub(sharing).DecideReports(request, metadata=_admin(sharing))


async def _refused(call: Any) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def _state(sharing: Sharing, code: str) -> "share_pb.Share.State.ValueType":
    listed = await sharing.stub().ListShares(share_pb.ListSharesRequest(), metadata=sharing.metadata())
    return next(each.state for each in listed.shares if each.share_code == code)


async def test_a_complaint_counts_once_for_each_place(sharing: Sharing) -> None:
    """Complaints are counted by place, the newest words of each are kept, and anybody may complain without a token."""
    share = await _share(sharing)
    for address in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
        await _report(sharing, share.share_code, address, message=f"<b>from {address[-1]}</b>")
    (found,) = (await _waiting(sharing)).shares
    assert (found.share_code, found.user_id, found.report_count) == (share.share_code, sharing.user_id, 2)
    assert {each.message for each in found.reports} == {"<b>from 7</b>", "<b>from 8</b>"}
    assert all(each.reason == pb.REPORT_REASON_SPAM for each in found.reports)


async def test_what_is_taken_down_stays_down(sharing: Sharing) -> None:
    """A share that is taken down shows nothing, leaves the list, and its owner cannot share the track anew."""
    track = sharing.add_track()
    share = await _share(sharing, track.track_id)
    listing = share_pb.UpdateShareRequest(share_code=share.share_code, listed=True)
    await sharing.stub().UpdateShare(listing, metadata=sharing.metadata())
    await _report(sharing, share.share_code)
    for _ in range(2):
        await _decide(sharing, share.share_code, take_down=True)
    assert (await _waiting(sharing)).shares == []
    opened = sharing.stub().ResolveShare(share_pb.ResolveShareRequest(share_code=share.share_code))
    assert (await _refused(opened)).reason == "SHARE_REVOKED"
    songs = (await sharing.stub().ListPublicSongs(share_pb.ListPublicSongsRequest(page_size=100))).songs
    assert share.share_code not in {song.share_code for song in songs}
    assert (await _refused(_share(sharing, track.track_id))).reason == "CONTENT_REJECTED"
    revoke = share_pb.RevokeShareRequest(share_code=share.share_code)
    await sharing.stub().RevokeShare(revoke, metadata=sharing.metadata())
    assert (await _refused(_share(sharing, track.track_id))).reason == "CONTENT_REJECTED"
    assert await _state(sharing, share.share_code) == share_pb.Share.STATE_TAKEN_DOWN
    listed = sharing.stub().UpdateShare(listing, metadata=sharing.metadata())
    assert (await _refused(listed)).reason == "SHARE_REVOKED"
    await _decide(sharing, share.share_code, take_down=False)
    assert await _state(sharing, share.share_code) == share_pb.Share.STATE_ACTIVE
    assert (await _share(sharing, track.track_id)).share_code == share.share_code


async def test_complaints_without_reason_leave_a_share_standing(sharing: Sharing) -> None:
    """Decided otherwise the complaints are gone and the share stands; a share its owner called back stays so."""
    kept, revoked = await _share(sharing), await _share(sharing)
    for share in (kept, revoked):
        await _report(sharing, share.share_code)
    revoke = share_pb.RevokeShareRequest(share_code=revoked.share_code)
    await sharing.stub().RevokeShare(revoke, metadata=sharing.metadata())
    for share in (kept, revoked):
        await _decide(sharing, share.share_code, take_down=False)
    assert await _state(sharing, kept.share_code) == share_pb.Share.STATE_ACTIVE
    assert await _state(sharing, revoked.share_code) == share_pb.Share.STATE_REVOKED
    assert (await _waiting(sharing)).shares == []
    await _report(sharing, kept.share_code)
    assert [each.share_code for each in (await _waiting(sharing)).shares] == [kept.share_code]


async def test_reported_shares_are_paged(sharing: Sharing) -> None:
    """Five reported shares come in pages of two, the newest first."""
    codes = []
    for _ in range(5):
        share = await _share(sharing)
        await _report(sharing, share.share_code)
        codes.append(share.share_code)
    found, token = list[str](), ""
    for _ in range(3):
        page = await _waiting(sharing, page_size=2, page_token=token)
        found += [each.share_code for each in page.shares]
        token = page.next_page_token
    assert (found, token) == (codes[::-1], "")


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"reason": 0}, "PARAM_INVALID"),
        ({"reason": 99}, "PARAM_INVALID"),
        ({"message": "x" * 1001}, "PARAM_INVALID"),
        ({"share_code": "unknownone"}, "SHARE_NOT_FOUND"),
    ],
)
async def test_a_complaint_that_makes_no_sense_is_refused(sharing: Sharing, wishes: Any, reason: str) -> None:
    """A complaint without a reason, with endless words or about nothing is refused and not kept."""
    share = await _share(sharing)
    assert (await _refused(_report(sharing, share.share_code, **wishes))).reason == reason
    assert (await _waiting(sharing)).shares == []


async def test_only_administrators_read_and_decide(sharing: Sharing) -> None:
    """Owners and strangers neither see complaints nor decide, and what is behind a password needs its ticket."""
    share = await _share(sharing)
    stub, user = _stub(sharing), sharing.metadata()
    for call in (
        stub.ListReports(pb.ListReportsRequest(), metadata=user),
        stub.DecideReports(pb.DecideReportsRequest(share_code=share.share_code, take_down=True), metadata=user),
    ):
        assert (await _refused(call)).reason == "PERMISSION_DENIED"
    locked = await _share(sharing, password="right one")
    assert (await _refused(_report(sharing, locked.share_code))).reason == "SHARE_PASSWORD_REQUIRED"
