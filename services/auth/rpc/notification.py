"""NotificationService: notices over their use cases."""

from cadenza.auth.v1 import notification_service_pb2 as pb
from cadenza.auth.v1 import notification_service_pb2_grpc as pb_grpc
from services.auth.domain.notification import Kind, Notice, Preferences, words_of
from services.auth.rpc.origin import english, timestamp
from services.auth.usecases.notification import Notices
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

_KINDS = {
    Kind.NEW_DEVICE: pb.Notification.KIND_NEW_DEVICE,
    Kind.PASSWORD_CHANGED: pb.Notification.KIND_PASSWORD_CHANGED,
    Kind.IDENTITY_BOUND: pb.Notification.KIND_IDENTITY_BOUND,
    Kind.IDENTITY_UNBOUND: pb.Notification.KIND_IDENTITY_UNBOUND,
    Kind.MERGED: pb.Notification.KIND_MERGED,
    Kind.UNMERGED: pb.Notification.KIND_UNMERGED,
    Kind.CLOSING: pb.Notification.KIND_CLOSING,
    Kind.SONG_READY: pb.Notification.KIND_SONG_READY,
    Kind.SONG_FAILED: pb.Notification.KIND_SONG_FAILED,
}
_SONGS = {_KINDS[kind]: kind for kind in (Kind.SONG_READY, Kind.SONG_FAILED)}


class NotificationServicer(pb_grpc.NotificationServiceServicer):
    """Serves notices."""

    def __init__(self, notices: Notices) -> None:
        """Serve these notices."""
        self._notices = notices

    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, context: ServicerContext
    ) -> pb.ListNotificationsResponse:
        """List the notices of the person."""
        found, more, unread = await self._notices.page(
            current_user().user_id,
            page_size=request.page_size,
            page_token=request.page_token,
            unread_only=request.unread_only,
        )
        listed = [_notice(each, english=english()) for each in found]
        return pb.ListNotificationsResponse(notifications=listed, next_page_token=more, unread_count=unread)

    async def ReadNotifications(
        self, request: pb.ReadNotificationsRequest, context: ServicerContext
    ) -> pb.ReadNotificationsResponse:
        """Note that all were read."""
        return pb.ReadNotificationsResponse(changed_count=await self._notices.read_all(current_user().user_id))

    async def ReadNotification(
        self, request: pb.ReadNotificationRequest, context: ServicerContext
    ) -> pb.ReadNotificationResponse:
        """Note that one was read."""
        left = await self._notices.read(current_user().user_id, request.notification_id.lower())
        return pb.ReadNotificationResponse(unread_count=left)

    async def GetNotificationPreferences(
        self, request: pb.GetNotificationPreferencesRequest, context: ServicerContext
    ) -> pb.GetNotificationPreferencesResponse:
        """Tell the preferences."""
        found = await self._notices.preferences(current_user().user_id)
        return pb.GetNotificationPreferencesResponse(preferences=_preferences(found))

    async def SetNotificationPreferences(
        self, request: pb.SetNotificationPreferencesRequest, context: ServicerContext
    ) -> pb.SetNotificationPreferencesResponse:
        """Change the preferences."""
        wished = {field.name: value for field, value in request.ListFields()}
        found = await self._notices.prefer(current_user().user_id, **wished)
        return pb.SetNotificationPreferencesResponse(preferences=_preferences(found))

    async def Notify(self, request: pb.NotifyRequest, context: ServicerContext) -> pb.NotifyResponse:
        """Tell a person what became of a song."""
        await self._notices.song(
            request.user_id.lower(),
            _SONGS[request.kind],
            subject_id=request.subject_id.lower(),
            name=request.title,
        )
        return pb.NotifyResponse()


def _notice(notice: Notice, *, english: bool) -> pb.Notification:
    words = words_of(notice.kind, notice.facts, english=english)
    where = " · ".join(notice.facts[name] for name in ("device", "address") if notice.facts.get(name))
    return pb.Notification(
        notification_id=notice.notification_id,
        kind=_KINDS[notice.kind],
        title=words.title,
        text="\n".join(part for part in (words.text, where, words.advice) if part),
        subject_id=notice.subject_id,
        read=notice.read,
        create_time=timestamp(notice.create_time),
    )


def _preferences(preferences: Preferences) -> pb.NotificationPreferences:
    return pb.NotificationPreferences(
        songs_in_inbox=preferences.songs_in_inbox, songs_by_mail=preferences.songs_by_mail
    )
