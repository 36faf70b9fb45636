"""The inbox by its contract: what is told, to whom, in whose words, how much is kept, and what may be switched off."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cadenza.auth.v1 import identity_service_pb2, login_service_pb2, merge_service_pb2, password_service_pb2, user_pb2
from cadenza.auth.v1 import notification_service_pb2 as pb
from cadenza.auth.v1.notification_service_pb2_grpc import NotificationServiceStub
from cadenza.auth.v1.user_service_pb2 import GetMeRequest
from services.auth.domain.notification import MOST_KEPT, SECURITY, Kind, words_of
from services.auth.rpc.notification import _KINDS
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.auth.estates import open_estates
from tests.auth.house import PASSWORD, PURPOSES, House, house, new_mailbox, new_phone, refused, said, until
from tests.conftest import SettableClock

LOGIN, BIND = PURPOSES.CODE_PURPOSE_LOGIN, PURPOSES.CODE_PURPOSE_BIND
KINDS = pb.Notification
FAR = {"address": "203.0.113.7", "agent": "curl/8.5.0"}


@pytest.fixture
async def home(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, db: Database
) -> AsyncIterator[House]:
    """Yield Auth and Wallet with a mail server and a carrier, and what people own in the other services."""
    async with house(database_url, redis_url, redis, clock) as made:
        open_estates(made, db, redis)
        yield made


async def _list(home: House, token: str, language: str = "en", **asked: Any) -> pb.ListNotificationsResponse:
    request = pb.ListNotificationsRequest(**asked)
    found: pb.ListNotificationsResponse = await home.inbox.ListNotifications(
        request, metadata=said(token, language=language)
    )
    return found


async def _kinds(home: House, token: str) -> list[Any]:
    return [each.kind for each in (await _list(home, token)).notifications]


def _song(user_id: str, **more: Any) -> pb.NotifyRequest:
    return pb.NotifyRequest(
        **{"user_id": user_id, "kind": KINDS.KIND_SONG_READY, "subject_id": new_id(), "title": "Ode $name", **more}
    )


async def _notify(home: House, request: pb.NotifyRequest, caller: str = "composer") -> None:
    stub: Any = NotificationServiceStub(home.local.peers(caller).channel("auth"))
    await stub.Notify(request)


async def test_what_happens_to_an_account_is_told(home: House) -> None:
    """A new device, another password, a way bound and taken away are each one notice, in the reader's language."""
    mailbox, phone = new_mailbox(), new_phone()
    token = (await home.register(mailbox)).access_token
    assert (await _list(home, token)).unread_count == 0
    await home.login(mailbox, **FAR)
    change = password_service_pb2.ChangePasswordRequest(old_password=PASSWORD, new_password=f"new {PASSWORD}")
    await home.passwords.ChangePassword(change, metadata=said(token))
    code = await home.code(phone, BIND, token=token)
    bind = identity_service_pb2.BindIdentityRequest(
        provider=user_pb2.Identity.PROVIDER_PHONE, provider_id=phone, verification_code=code
    )
    identity = (await home.identities.BindIdentity(bind, metadata=said(token))).identity
    gone = identity_service_pb2.UnbindIdentityRequest(identity_id=identity.identity_id)
    await home.identities.UnbindIdentity(gone, metadata=said(token))

    found = await _list(home, token)
    assert [each.kind for each in found.notifications] == [
        KINDS.KIND_IDENTITY_UNBOUND, KINDS.KIND_IDENTITY_BOUND, KINDS.KIND_PASSWORD_CHANGED, KINDS.KIND_NEW_DEVICE,
    ]  # fmt: skip
    assert found.unread_count == 4
    bound, device = found.notifications[1], found.notifications[3]
    assert f"phone {phone[:3]}****{phone[-4:]}" in bound.text
    assert "curl · 203.0.113.7" in device.text
    assert not [each for each in found.notifications if phone in str(each) or "$" in str(each)]
    chinese = (await _list(home, token, language="zh-CN")).notifications
    assert chinese[1].title == "已绑定新的登录方式"
    subjects = {"A new login", "password was changed", "was added", "was taken away"}
    await until(lambda: len(home.outside.post.to(mailbox)) >= 2 + len(subjects))


async def test_a_merge_is_told_to_both(home: House) -> None:
    """Both accounts hear that they become one, until when that can be undone, and that they are two again."""
    phone = new_phone()
    code = await home.code(phone, LOGIN)
    owner = await home.logins.Login(login_service_pb2.LoginRequest(phone=phone, code=code))
    visitor = await home.device()
    code = await home.code(phone, BIND, token=visitor.access_token)
    bind = identity_service_pb2.BindIdentityRequest(
        provider=user_pb2.Identity.PROVIDER_PHONE, provider_id=phone, verification_code=code
    )
    offer = await refused(home.identities.BindIdentity(bind, metadata=said(visitor.access_token)))
    merge_id = offer.metadata["merge_id"]
    confirm = merge_service_pb2.ConfirmMergeRequest(merge_id=merge_id)
    session = (await home.merges.ConfirmMerge(confirm, metadata=said(visitor.access_token))).session
    assert session.user_id == owner.user_id
    (told,) = (await _list(home, owner.access_token)).notifications
    assert told.kind == KINDS.KIND_MERGED
    assert "UTC" in told.text
    undo = merge_service_pb2.UndoMergeRequest(merge_id=merge_id)
    await home.merges.UndoMerge(undo, metadata=said(owner.access_token))
    assert await _kinds(home, owner.access_token) == [KINDS.KIND_UNMERGED, KINDS.KIND_MERGED]


async def test_notices_are_read(home: House) -> None:
    """One and then all are noted as read, the count falls, pages go on, and another person's cannot be touched."""
    made = await home.device()
    token = made.access_token
    for _ in range(5):
        await _notify(home, _song(made.user_id))
    first = await _list(home, token, page_size=2)
    rest = await _list(home, token, page_size=3, page_token=first.next_page_token)
    ids = [each.notification_id for each in (*first.notifications, *rest.notifications)]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(ids), rest.next_page_token, rest.unread_count) == (5, "", 5)
    one = pb.ReadNotificationRequest(notification_id=ids[1])
    assert (await home.inbox.ReadNotification(one, metadata=said(token))).unread_count == 4
    assert (await home.inbox.ReadNotification(one, metadata=said(token))).unread_count == 4
    unread = await _list(home, token, unread_only=True)
    assert [each.notification_id for each in unread.notifications] == [ids[0], *ids[2:]]
    stranger = (await home.device()).access_token
    assert (await refused(home.inbox.ReadNotification(one, metadata=said(stranger)))).reason == "NOT_FOUND"
    assert (await _list(home, stranger)).notifications == []
    changed = await home.inbox.ReadNotifications(pb.ReadNotificationsRequest(), metadata=said(stranger))
    assert changed.changed_count == 0
    changed = await home.inbox.ReadNotifications(pb.ReadNotificationsRequest(), metadata=said(token))
    assert (changed.changed_count, (await _list(home, token)).unread_count) == (4, 0)


async def test_a_song_is_told_once_and_as_wished(home: House) -> None:
    """However often it is asked, a song is told once; by mail for who wishes so, and not at all for who does not."""
    mailbox = new_mailbox()
    made = await home.register(mailbox)
    request = _song(made.user_id)
    for _ in range(3):
        await _notify(home, request)
    (told,) = (await _list(home, made.access_token)).notifications
    assert (told.subject_id, told.text) == (request.subject_id, "“Ode $name” can be played now.")
    wish = pb.SetNotificationPreferencesRequest(songs_in_inbox=False, songs_by_mail=True)
    await home.inbox.SetNotificationPreferences(wish, metadata=said(made.access_token))
    request = _song(made.user_id, title="By mail")
    for _ in range(3):
        await _notify(home, request)
    assert len((await _list(home, made.access_token)).notifications) == 1
    letters = home.outside.post.to
    await until(lambda: any("歌曲" in letter["Subject"] for letter in letters(mailbox)))
    wish = pb.SetNotificationPreferencesRequest(songs_by_mail=False)
    left = (await home.inbox.SetNotificationPreferences(wish, metadata=said(made.access_token))).preferences
    assert (left.songs_in_inbox, left.songs_by_mail) == (False, False)
    await home.login(mailbox, **FAR)
    assert await _kinds(home, made.access_token) == [KINDS.KIND_NEW_DEVICE, KINDS.KIND_SONG_READY]
    await until(lambda: any("新登录" in letter["Subject"] for letter in letters(mailbox)))
    assert len([letter for letter in letters(mailbox) if "歌曲" in letter["Subject"]]) == 1


async def test_who_has_become_another_hears_as_that_one(home: House, db: Database) -> None:
    """A song of an account that was merged is told to the one it became; for nobody nothing is told."""
    source, target = await home.device(), await home.device()
    async with db.transaction() as tx:
        await tx.execute(
            text("UPDATE auth.users SET merged_into = :target WHERE user_id = :source"),
            {"target": target.user_id, "source": source.user_id},
        )
    await _notify(home, _song(source.user_id))
    await _notify(home, _song(new_id()))
    assert await _kinds(home, target.access_token) == [KINDS.KIND_SONG_READY]


async def test_only_so_many_are_kept(home: House, db: Database) -> None:
    """Of one person the newest two hundred are kept; the oldest go first."""
    made = await home.device()
    async with db.transaction() as tx:
        for number in range(MOST_KEPT + 3):
            await tx.execute(
                text("INSERT INTO auth.notifications (notification_id, user_id, kind, create_time, facts)"
                     " VALUES (:id, :user_id, 'song_ready', now(), jsonb_build_object('name', CAST(:name AS text)))"),
                {"id": new_id(), "user_id": made.user_id, "name": str(number)},
            )  # fmt: skip
    await _notify(home, _song(made.user_id))
    async with db.transaction() as tx:
        names = await tx.execute(
            text("SELECT facts->>'name' FROM auth.notifications WHERE user_id = :id ORDER BY notification_id"),
            {"id": made.user_id},
        )
        found = list(names.scalars())
    assert (len(found), found[0], found[-1]) == (MOST_KEPT, "4", "Ode $name")


@pytest.mark.parametrize("caller", ["gateway", "media", "share", "wallet"])
async def test_only_composer_tells_of_songs(home: House, caller: str) -> None:
    """No other service, and no client through the gateway, writes into somebody's inbox; of security nobody does."""
    made = await home.device()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _notify(home, _song(made.user_id), caller)
    assert from_rpc(caught.value).reason == "PERMISSION_DENIED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _notify(home, _song(made.user_id, kind=KINDS.KIND_NEW_DEVICE))
    assert from_rpc(caught.value).reason == "PARAM_INVALID"
    assert await _kinds(home, made.access_token) == []
    assert (await home.users.GetMe(GetMeRequest(), metadata=said(made.access_token))).user.user_id == made.user_id


@pytest.mark.parametrize("english", [True, False])
def test_every_kind_has_words(*, english: bool) -> None:
    """Every kind that can be in an inbox has a title and a sentence in both languages, with every gap filled."""
    facts = {"provider": "phone", "label": "138****0000", "until": "2026-12-07 10:00 UTC", "name": "Ode"}
    for kind in _KINDS:
        words = words_of(kind, facts, english=english)
        assert words.title
        assert words.text
        assert "$" not in words.title + words.text + words.advice
        assert any("\u4e00" <= sign <= "\u9fff" for sign in words.text) is not english
    assert set(_KINDS) == SECURITY | {Kind.SONG_READY, Kind.SONG_FAILED}
