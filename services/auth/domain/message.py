"""What Auth writes to people: codes and letters about their account, in Chinese and English."""

from dataclasses import dataclass, field
from enum import StrEnum

from services.auth.domain.code import Purpose
from services.auth.domain.notification import Kind, words_of


class State(StrEnum):
    """How far a message has come."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


# A code that may have left is not sent again: two codes are one more chance to guess, and cost twice. A letter that
# may have left is, under the same Message-ID.
MOST_ATTEMPTS = {Kind.CODE: 3}
LETTER_ATTEMPTS = 8


def may_send(kind: Kind, state: State) -> bool:
    """Return whether a message in this state may be handed to its carrier; a code only if it surely was not before."""
    return state is State.PENDING or (state is State.SENDING and kind is not Kind.CODE)


@dataclass(frozen=True)
class Letter:
    """Subject and text of a letter, which stay out of every `repr`."""

    subject: str = field(repr=False)
    text: str = field(repr=False)


_PURPOSES = {
    Purpose.REGISTER: ("注册", "create your account"),
    Purpose.LOGIN: ("登录", "log in"),
    Purpose.RESET: ("重设密码", "set a new password"),
    Purpose.BIND: ("绑定登录方式", "add this way to log in"),
    Purpose.DELETE: ("注销账号", "erase your account"),
}
_FOOT = ("—— Cadenza（本邮件由系统发出，请勿回复）", "Cadenza (nobody reads answers to this letter)")


def code_letter(code: str, purpose: Purpose, minutes: int, *, english: bool) -> Letter:
    """Return the letter that carries a code."""
    zh, en = _PURPOSES[purpose]
    if english:
        return _letter(
            f"Your Cadenza code: {code}",
            f"{code} is your code to {en}. It is good for {minutes} minutes and for one use.",
            "Give it to nobody: we never ask for it. If it was not you who asked, nothing has to be done.",
            english=True,
        )
    return _letter(
        f"Cadenza 验证码：{code}",
        f"您正在{zh}，验证码是 {code}，{minutes} 分钟内有效，只能使用一次。",
        "请勿告诉任何人，我们不会向您索要验证码。如非本人操作，请忽略此邮件。",
        english=False,
    )


def account_letter(kind: Kind, facts: dict[str, str], *, english: bool) -> Letter:
    """Return the letter about something that happened to an account; `facts` fill the gaps of its words.

    Time, device and address stand in a paragraph of their own.
    """
    words = words_of(kind, facts, english=english)
    where = "\n".join(facts[name] for name in ("time", "device", "address") if facts.get(name))
    subject = words.title if "Cadenza" in words.title else f"Cadenza: {words.title}"
    return _letter(subject, *(part for part in (words.text, where, words.advice) if part), english=english)


def _letter(subject: str, *parts: str, english: bool) -> Letter:
    return Letter(subject, "\n\n".join((*parts, _FOOT[english])) + "\n")
