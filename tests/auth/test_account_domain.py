"""The rules of passwords, targets, codes, guards and unusual logins, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from services.auth.domain import code as codes
from services.auth.domain import guard as guards
from services.auth.domain import password as passwords
from services.auth.domain.code import CodeRules, Recent, Sent, Verdict
from services.auth.domain.errors import PasswordWeak
from services.auth.domain.guard import Guard
from services.auth.domain.login import LoginRecord, Method, Result, is_unusual
from services.auth.domain.pepper import Pepper
from services.auth.domain.session import Origin
from services.auth.domain.target import Channel, mailbox, name, phone, target
from services.auth.domain.user import Provider
from services.kit.errors import ParamInvalid

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("1234567", "too_short"),
        ("x" * 7 + "é" * 122, "too_long"),
        ("password", "common"),
        ("Password1!", "common"),
        ("P@ssw0rd2026", "common"),
        ("12345678", "common"),
        ("87654321", "common"),
        ("19900101", "common"),
        ("qwertyuiop", "common"),
        ("1qaz2wsx", "common"),
        ("aaaaaaaa", "common"),
        ("abababab", "common"),
        ("abc123abc123", "common"),
        ("iloveyou", "common"),
        ("woaini1314", "common"),
        ("5201314woaini", "common"),
        ("monkeymonkey", "common"),
        ("letmein!!", "common"),
        ("asdfghjkl;", "common"),
        ("zhang.wei", "account"),
        ("zhang.wei123", "account"),
        ("13800000000", "account"),
    ],
)
def test_passwords_that_others_would_try_first_are_refused(password: str, rule: str) -> None:
    """Each is refused by the rule that it breaks."""
    with pytest.raises(PasswordWeak) as caught:
        passwords.check(password, "zhang.wei@cadenza.test", "+8613800000000")
    assert caught.value.metadata["rule"] == rule


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "tr0ub4dor&3x",
        "春眠不觉晓处处闻啼鸟",
        "kvfqhzqm",
        "82930174655",
        "summer rain on tin",
        "x" * 3 + "yz" * 60 + "qrstu",
    ],
)
def test_long_and_unlikely_is_enough(password: str) -> None:
    """No capitals, digits or signs are asked for, and spaces and any script are taken."""
    passwords.check(password, "zhang.wei@cadenza.test")
    assert passwords.normal(password) == password


def test_a_password_typed_in_two_ways_is_one() -> None:
    """Composed and decomposed letters, and full-width digits, are hashed alike."""
    assert passwords.normal("café") == passwords.normal("cafe\u0301")
    assert passwords.normal("１２３abc") == "123abc"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("13800000000", "+8613800000000"),
        ("+86 138-0000-0000", "+8613800000000"),
        ("008613800000000", "+8613800000000"),
        (" Lin@Example.COM ", "lin@example.com"),
        ("lin+tag@mail.example.com", "lin+tag@mail.example.com"),
    ],
)
def test_one_target_has_one_spelling(text: str, address: str) -> None:
    """However a phone or mailbox is written, it is the same one."""
    assert target(text).address == address


@pytest.mark.parametrize(
    "text",
    ["", "138", "23800000000", "+861380000000", "+4915112345678", "lin", "@x.test", "a@b", "a@-b.test", ".a@b.test",
     "a.@b.test", "a..b@c.test", "a@b.test\n", "a b@c.test", "x" * 65 + "@b.test", "a@b.test,c@d.test"],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    """Neither landlines nor countries that are shut nor addresses that break out of a header are taken."""
    if text.endswith("\n"):
        assert mailbox(text).address == "a@b.test"
        return
    with pytest.raises(ParamInvalid):
        target(text)


def test_other_countries_open_by_a_setting() -> None:
    """A phone of another country is taken once its calling code is listed."""
    assert phone("+85261234567", ("86", "852")).address == "+85261234567"
    with pytest.raises(ParamInvalid):
        phone("+85261234567")


def test_a_label_covers_most_of_a_target() -> None:
    """Its owner knows it, a stranger cannot write to it."""
    assert phone("13812345678").label == "138****5678"
    assert mailbox("linfeng@example.com").label == "l***@example.com"
    assert "linfeng" not in repr(mailbox("linfeng@example.com"))
    assert phone("13812345678").channel is Channel.SMS


def test_names_begin_with_a_letter() -> None:
    """A name cannot be taken for a phone or a mailbox."""
    assert name(" 林风_01 ") == "林风_01"
    for wrong in ("ab", "1abc", "a b c", "a@b", "x" * 33, "-abc", "+86138"):
        with pytest.raises(ParamInvalid):
            name(wrong)


def test_a_pepper_finds_under_old_keys_and_writes_under_the_new() -> None:
    """After a change of keys what was written before is found, and two kinds or splits of one text differ."""
    old, new = bytes(32), bytes(31) + b"1"
    written = Pepper([old]).hash("identity", "phone", "+8613800000000")
    both = Pepper([new, old])
    assert written in both.hashes("identity", "phone", "+8613800000000")
    assert written != both.hash("identity", "phone", "+8613800000000")
    assert both.matches(written, "identity", "phone", "+8613800000000")
    assert not both.matches(written, "target", "phone", "+8613800000000")
    assert both.hash("a", "bc", "d") != both.hash("a", "b", "cd")


@pytest.mark.parametrize(
    ("sent", "matches", "verdict"),
    [
        (Sent("c", b"", 0, AT + MINUTE), True, Verdict.GOOD),
        (Sent("c", b"", 4, AT + MINUTE), True, Verdict.GOOD),
        (Sent("c", b"", 0, AT + MINUTE), False, Verdict.WRONG),
        (Sent("c", b"", 5, AT + MINUTE), True, Verdict.OVER),
        (Sent("c", b"", 0, AT), True, Verdict.OVER),
        (Sent("c", b"", 0, AT + MINUTE, AT), True, Verdict.WRONG),
    ],
)
def test_what_a_code_is_good_for(sent: Sent, verdict: Verdict, *, matches: bool) -> None:
    """A code is good until it was used, ran out or was tried five times."""
    assert codes.judge(sent, AT, matches=matches) is verdict


@pytest.mark.parametrize(
    ("recent", "seconds"),
    [
        (Recent(None, 0, 0, None), 0),
        (Recent(AT - MINUTE, 1, 1, AT - MINUTE), 0),
        (Recent(AT - MINUTE / 2, 1, 1, AT - MINUTE), 30),
        (Recent(AT - timedelta(hours=1), 10, 0, AT - timedelta(hours=23)), 3600),
        (Recent(AT - timedelta(hours=1), 0, 50, AT - timedelta(hours=23)), 3600),
        (Recent(AT - timedelta(milliseconds=500), 1, 1, AT), 60),
    ],
)
def test_how_long_to_wait_for_another_code(recent: Recent, seconds: int) -> None:
    """The longer of the gap and the day's caps counts, in whole seconds upwards."""
    assert codes.wait_s(recent, CodeRules(), AT) == seconds


def test_codes_are_six_digits_and_spread() -> None:
    """A thousand codes have six digits each and hardly repeat."""
    made = [codes.new_code() for _ in range(1000)]
    assert all(len(each) == 6 and each.isdigit() for each in made)
    assert len(set(made)) > 990


def test_locks_grow_and_are_forgotten() -> None:
    """Five failures lock for a quarter of an hour, each lock doubles the next up to four hours, a day begins anew."""
    guard, at, lengths = Guard(), AT, []
    for _ in range(6):
        for _ in range(5):
            assert guards.locked_s(guard, at) == 0
            guard = guards.attempt(guard, at, most=5)
        until = guard.locked_until_time
        assert until is not None
        assert guards.locked_s(guard, at) > 0
        lengths.append((until - at) / MINUTE)
        at = until
    assert lengths == [15, 30, 60, 120, 240, 240]
    at += timedelta(days=1)
    for _ in range(5):
        guard = guards.attempt(guard, at, most=5)
    assert guard.locked_until_time == at + 15 * MINUTE


def test_failures_fade_within_their_window() -> None:
    """Four failures a quarter of an hour ago and four now lock nothing."""
    guard = Guard()
    for at in (AT, AT + 15 * MINUTE):
        for _ in range(4):
            guard = guards.attempt(guard, at, most=5)
    assert guards.locked_s(guard, AT + 15 * MINUTE) == 0
    assert guards.forgiven(guard).failure_count == 3


def _seen(origin: Origin) -> LoginRecord:
    return LoginRecord("l", Provider.EMAIL, Method.CODE, Result.OK, origin, AT)


_FIREFOX = "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/130.0"
_PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit Version/18.0 Safari/604.1"
_HOME = Origin("web", "198.51.100.7", _FIREFOX)


@pytest.mark.parametrize(
    ("origin", "unusual"),
    [
        (_HOME, False),
        (Origin("web", "198.51.7.7", _FIREFOX), False),
        (Origin("web", "198.51.100.7", _FIREFOX.replace("130", "131")), False),
        (Origin("web", "198.51.100.7", _PHONE), True),
        (Origin("web", "203.0.113.5", _FIREFOX), True),
        (Origin("ios", "198.51.100.7", _FIREFOX), True),
        (Origin("web", "", _FIREFOX), False),
        (Origin("web", "", ""), False),
        (Origin("web", "not an address", _FIREFOX), False),
    ],
)
def test_which_login_its_owner_is_warned_of(origin: Origin, *, unusual: bool) -> None:
    """Another device or another network is unusual; a new version of a program or the next address is not."""
    assert is_unusual(origin, [_seen(_HOME)] * 3) is unusual


def test_the_first_login_is_not_unusual() -> None:
    """There is nothing to compare it with."""
    assert not is_unusual(_HOME, [])
