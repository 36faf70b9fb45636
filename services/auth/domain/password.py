"""Which passwords are taken: long enough, and none that anybody would try first.

No rule asks for capitals, digits or signs: such rules make people write `Password1!`, which is tried early too. The
lists that guessers begin with consist of a few hundred words and fashions of writing them, so that is what is looked
for: the word below its decorations, runs on the keyboard, rows of one or two signs, dates, and the account's own name.
"""

import re
import unicodedata

from services.auth.domain.errors import PasswordWeak

SHORTEST = 8
LONGEST = 128
_FEW_SIGNS = 3
# A birthday.
_LONGEST_DECORATION = 8

_LEET = str.maketrans("013457$@!", "oieastsai")
_KEYBOARD = (
    "1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz", "azertyuiop", "qwertzuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujmik", "qweasdzxc", "147258369",
    "159357", "741852963", "789456123", "123qweasdzxc", "qwer1234asdf",
)  # fmt: skip
_WORDS = frozenset(
    """
    password passwort passw0rd passwd pass admin administrator root superuser user guest login welcome letmein enter
    access master secret private default changeme change temp temporary test tester testing demo example sample
    qwerty qwert qwer azerty asdf asdfgh zxcv zxcvbn iloveyou ilovyou loveyou loveme lovely love lover forever
    monkey dragon tiger lion eagle shadow sunshine sunflower rainbow flower butterfly princess prince queen king
    angel angels devil superman batman spiderman pokemon pikachu naruto starwars matrix hunter killer ranger soldier
    football baseball basketball soccer hockey golf tennis liverpool chelsea arsenal barcelona realmadrid juventus
    michael jordan jennifer jessica ashley michelle daniel andrew charlie thomas robert george william david anthony
    joshua matthew nicole amanda hannah samantha jasmine maggie buster ginger pepper cookie chocolate banana apple
    orange cheese summer winter spring autumn january february march april june july august september october
    november december monday friday sunday computer internet samsung iphone android google facebook windows microsoft
    linux oracle cisco server system network mustang ferrari porsche mercedes harley corvette yamaha honda toyota
    freedom whatever trustno trustnoone nothing nopassword blank fuckyou fuckoff asshole bitch pussy money dollar
    lucky happy hello helloworld world abc abcd abcde abcdef alpha bravo delta omega zaq zaqwsx qazwsx qaz wsx
    woaini woaini woaiwojia woaiwo wodemima mima nihao zhongguo china beijing shanghai aini ainima aiwo laopo laogong
    baobao baobei taobao alibaba wechat weixin tencent huawei xiaomi zhang wang zhao chen yang huang zhou
    cadenza music song musical piano guitar
    """.split()  # noqa: SIM905  # a list of quoted words would be four times as long
)


def normal(password: str) -> str:
    """Return the spelling that is hashed: one form for signs typed in two ways (NFKC, as NIST SP 800-63B has it)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, *names: str) -> None:
    """Return when a password may be used by whoever has these names; PasswordWeak with the rule it breaks."""
    plain = normal(password)
    if len(plain) < SHORTEST:
        raise PasswordWeak("the password is too short", rule="too_short", shortest=SHORTEST)
    if len(plain) > LONGEST:
        raise PasswordWeak("the password is too long", rule="too_long", longest=LONGEST)
    low = plain.casefold()
    if _is_common(low):
        raise PasswordWeak("the password is one that is tried first", rule="common")
    if any(_is_own(low, each.casefold()) for each in names if each):
        raise PasswordWeak("the password is the account's name", rule="account")


def _is_common(low: str) -> bool:
    return (
        len(set(low)) < _FEW_SIGNS
        or _is_repeated(low)
        # Dates and phones without their country.
        or (low.isdigit() and len(low) <= SHORTEST + 1)
        or _is_run(low)
        or any(_is_word(core) for core in _cores(low))
    )


def _cores(low: str) -> set[str]:
    """Return what may be the word below its decorations: a year, an exclamation mark, digits for letters."""
    bare = re.sub(r"[^a-z0-9$@!]", "", low)
    tail = re.sub(rf"[0-9$@!]{{1,{_LONGEST_DECORATION}}}$", "", bare)
    head = re.sub(rf"^[0-9$@!]{{1,{_LONGEST_DECORATION}}}", "", tail)
    found = {bare, tail, head, re.sub(r"^[0-9]{1,5}", "", bare)}
    return {each for core in found for each in (core, core.translate(_LEET))}


def _is_word(core: str) -> bool:
    half = core[: len(core) // 2]
    return core in _WORDS or (core == half * 2 and half in _WORDS) or (len(core) > SHORTEST // 2 and _is_run(core))


def _is_run(text: str) -> bool:
    """Return whether the text is one walk along the keyboard or the alphabet, forth, back or over and over."""
    for row in _KEYBOARD:
        for line in (row, row[::-1]):
            if text in line * 3:
                return True
    return False


def _is_repeated(text: str) -> bool:
    """Return whether the text is one short piece over and over, such as `abc123abc123`."""
    for length in range(1, len(text) // 2 + 1):
        if length <= SHORTEST - 2 and (text[:length] * (len(text) // length + 1)).startswith(text):
            return True
    return False


def _is_own(low: str, own: str) -> bool:
    local = own.partition("@")[0].lstrip("+")
    bare = re.sub(r"[0-9]{1,5}$", "", low)
    return low in {own, local, local.removeprefix("86")} or (len(local) > _FEW_SIGNS and bare in {local, local * 2})
