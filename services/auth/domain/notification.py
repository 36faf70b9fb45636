"""What people are told of: the catalogue of notices in Chinese and English, which letters are worded by too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from string import Template

# So many of one person are kept, and for so long.
MOST_KEPT = 200
KEPT = timedelta(days=180)


class Kind(StrEnum):
    """What a message is about."""

    CODE = "code"
    WELCOME = "welcome"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of a letter
    NEW_DEVICE = "new_device"
    IDENTITY_BOUND = "identity_bound"
    IDENTITY_UNBOUND = "identity_unbound"
    MERGED = "merged"
    UNMERGED = "unmerged"
    CLOSING = "closing"
    SONG_READY = "song_ready"
    SONG_FAILED = "song_failed"


SECURITY = frozenset(
    {
        Kind.PASSWORD_CHANGED,
        Kind.NEW_DEVICE,
        Kind.IDENTITY_BOUND,
        Kind.IDENTITY_UNBOUND,
        Kind.MERGED,
        Kind.UNMERGED,
        Kind.CLOSING,
    }
)
"""What is always told, in the inbox and by letter: whoever took an account over must not be able to switch it off."""


@dataclass(frozen=True)
class Words:
    """Title, sentence and advice, which stay out of every `repr` once they are filled."""

    title: str = field(repr=False)
    text: str = field(repr=False)
    advice: str = field(default="", repr=False)


@dataclass(frozen=True)
class Notice:
    """One notice in an inbox."""

    notification_id: str
    kind: Kind
    facts: Mapping[str, str] = field(repr=False)
    create_time: datetime
    subject_id: str = ""
    read: bool = False


@dataclass(frozen=True)
class Preferences:
    """By which ways a person hears of songs."""

    songs_in_inbox: bool = True
    songs_by_mail: bool = False


def words_of(kind: Kind, facts: Mapping[str, str], *, english: bool) -> Words:
    """Return what a kind of notice says; gaps of which nothing is known stay empty."""
    words = _WORDS[kind][english]
    door = _DOORS[facts["provider"]][english] if facts.get("provider") else ""
    way = f"{door} {facts.get('label', '')}".strip()
    known = {"name": "", "until": "", **facts, "way": way}
    return Words(*(Template(part).substitute(known) for part in (words.title, words.text, words.advice)))


_DOORS = {
    "web": ("浏览器", "a browser"),
    "wechat": ("微信", "WeChat"),
    "phone": ("手机号", "phone"),
    "email": ("邮箱", "mailbox"),
    "apple": ("苹果账号", "Apple"),
}
_NOT_YOU = (
    "如非本人操作，请在账号页结束其他会话并更改密码。",
    "If it was not you, end the other sessions in your account and set a new password.",
)
_WORDS: Mapping[Kind, tuple[Words, Words]] = {
    Kind.WELCOME: (
        Words("欢迎来到 Cadenza", "您的账号已开通。哼一段旋律，它就会变成一首歌。"),
        Words("Welcome to Cadenza", "Your account is ready. Hum something: it becomes a song."),
    ),
    Kind.PASSWORD_CHANGED: (
        Words(
            "您的 Cadenza 密码已更改",
            "您的账号密码已重新设置，其他设备上的登录已结束。",
            "如非本人操作，请立即用邮箱验证码重设密码。",
        ),
        Words(
            "Your Cadenza password was changed",
            "The password of your account was set anew, and sessions elsewhere have ended.",
            "If it was not you, set a new one at once by a code to your mailbox.",
        ),
    ),
    Kind.NEW_DEVICE: (
        Words(
            "Cadenza 账号新登录提醒",
            "您的账号刚刚在陌生的设备或网络上登录。",
            "如非本人操作，请在账号页结束该会话并更改密码。",
        ),
        Words(
            "A new login to your Cadenza account",
            "Your account was logged in to from a device or network we have not seen lately.",
            "If it was not you, end that session in your account and set a new password.",
        ),
    ),
    Kind.IDENTITY_BOUND: (
        Words("已绑定新的登录方式", "您的账号现在可以这样登录：$way。", _NOT_YOU[0]),
        Words("A way to log in was added", "Your account can now be logged in to by $way.", _NOT_YOU[1]),
    ),
    Kind.IDENTITY_UNBOUND: (
        Words("已解绑一种登录方式", "您的账号不能再这样登录：$way。", _NOT_YOU[0]),
        Words("A way to log in was taken away", "Your account can no longer be logged in to by $way.", _NOT_YOU[1]),
    ),
    Kind.MERGED: (
        Words("两个账号已合并", "另一个账号的作品、文件、分享和积分已归入您的账号，$until 前可以撤销。", _NOT_YOU[0]),
        Words(
            "Two accounts have become one",
            "What another account had is yours now. It can be undone until $until.",
            _NOT_YOU[1],
        ),
    ),
    Kind.UNMERGED: (
        Words("账号合并已撤销", "当时并入的作品、文件、分享和积分正在归还。", _NOT_YOU[0]),
        Words("Two accounts were made of one again", "What the other account had is on its way back.", _NOT_YOU[1]),
    ),
    Kind.CLOSING: (
        Words(
            "账号即将注销",
            "您的账号将在 $until 被彻底删除，所有设备均已退出登录。",
            "如想保留，请在此之前登录并撤销注销。",
        ),
        Words(
            "Your account is to be erased",
            "Your account will be erased on $until, and is logged out everywhere.",
            "To keep it, log in before then and take it back.",
        ),
    ),
    Kind.SONG_READY: (
        Words("歌曲已完成", "《$name》已经可以播放了。"),
        Words("Your song is ready", "“$name” can be played now."),
    ),
    Kind.SONG_FAILED: (
        Words("歌曲未能完成", "《$name》未能生成，积分已退回。"),
        Words("A song could not be made", "“$name” could not be made. The credits have come back."),
    ),
}  # fmt: skip
