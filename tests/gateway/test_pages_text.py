"""The words, files and drawings of the pages, without a server."""

import re
from pathlib import Path

import pytest

from cadenza.auth.v1.user_pb2 import Identity
from cadenza.error.v1 import reason_pb2
from cadenza.wallet.v1.credit_service_pb2 import Entry
from gateway.caller import PLATFORMS
from gateway.pages import LENGTH_S, LENGTHS_S, LIFETIMES_S, MOODS, REPORT_REASONS, STYLES, VOICES, prefers_page
from gateway.pages_files import CLIENT, FOLDER, WebFiles
from gateway.pages_share import WAVE_BARS, absolute, wave_path
from gateway.pages_text import LOCALES, key_name, read_catalogues, speaking, style_name

CATALOGUES = read_catalogues()
KEYS = set(CATALOGUES["zh-CN"])
SOURCES = sorted([*FOLDER.glob("*.js"), *FOLDER.glob("templates/*.html")])
# Keys whose end is known only when the page is shown, and every end they can have.
ENDS = {
    "style.": {*STYLES, "any"},
    "mood.": {*MOODS, "any"},
    "voice.": set(VOICES),
    "stage.": {
        "audio_check", "audio_analyze", "segment_pick", "compose_params", "music_generate", "ab_eval", "seconds",
    },
    "state.": {"generating", "ready", "failed", "cancelled"},
    "notice.": {
        f"{name}.{part}"
        for name in (
            "share_unknown", "share_revoked", "share_expired", "share_locked", "unavailable", "missing",
        )
        for part in ("title", "text")
    } | {"again", "trace"},
    "report.": {*REPORT_REASONS, "open", "why", "message", "send", "done"},
    "lock.": {"title", "text", "label", "open", "onward", "wrong", "often"},
    "standing.": {"review", "risky", "why", "appeal", "asked"},
    "share.lifetime.": {str(seconds) for seconds in LIFETIMES_S},
    "key.": {"major", "minor"},
    "advice.": {"noisy", "quiet", "loud", "short", "unsteady", "pauses"},
    "account.kind.": {
        name.removeprefix("KIND_").lower() for name in Entry.Kind.keys() if not name.endswith("_UNSPECIFIED")  # noqa: SIM118  # an enum
    },
    "account.about.": {"music", "lyrics"},
    "account.platform.": PLATFORMS,
    "door.way.": {
        name.removeprefix("PROVIDER_").lower() for name in Identity.Provider.keys() if not name.endswith("_UNSPECIFIED")  # noqa: SIM118  # an enum
    },
    "door.owned.": {"track", "lyrics", "asset", "share", "credits"},
    "remark.": {
        "why", "clearer_melody", "better_loudness", "livelier_dynamics", "better_balance", "more_variety", "close_call",
    },
}  # fmt: skip


def _used() -> set[str]:
    """Return every whole key that a template or a module names."""
    found: set[str] = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for pattern in (r'\b(?:t|say|text)\(\s*"([^"]+)"\s*[,)]', r'data-t(?:-label|-hint)?="([^"{]+)"'):
            found |= set(re.findall(pattern, text))
        for chosen in re.findall(r"\bsay\(([^()]*\?[^()]*)\)", text):
            found |= set(re.findall(r'"([a-z_]+\.[a-z_.]+)"', chosen))
        found |= set(re.findall(r'\["(docs\.[a-z]+)", "(?:docs\.[a-z]+)"', text))
    return found


def test_both_languages_are_whole() -> None:
    """Both catalogues have the same keys, no text is empty, and both fill the same gaps."""
    for key in KEYS:
        gaps = {locale: set(re.findall(r"\{(\w+)\}", CATALOGUES[locale][key])) for locale in LOCALES}

        assert all(CATALOGUES[locale][key].strip() for locale in LOCALES), key
        assert gaps["zh-CN"] == gaps["en"], key
    assert set(CATALOGUES["en"]) == KEYS


def test_english_is_english() -> None:
    """No Chinese is left in the English texts but the name of the other language."""
    chinese = [key for key, text in CATALOGUES["en"].items() if re.search(r"[\u4e00-\u9fff]", text)]

    assert chinese == ["page.other_language"]


def test_every_key_used_exists() -> None:
    """Every key that templates and modules name is in the catalogues."""
    used = _used()

    assert len(used) > 90
    assert used - KEYS == set()


def test_every_key_built_exists() -> None:
    """Keys that are put together when a page is shown exist for every end they can have."""
    for start, ends in ENDS.items():
        assert {start + end for end in ends} == {key for key in KEYS if key.startswith(start)}


def test_every_key_is_used() -> None:
    """No text stands in the catalogues that no page says."""
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    python = "".join(path.read_text(encoding="utf-8") for path in Path(FOLDER).parent.glob("pages*.py"))
    built = tuple(ENDS)

    assert [key for key in KEYS if f'"{key}"' not in source + python and not key.startswith(built)] == []


def test_stages_and_states_are_those_of_the_contract() -> None:
    """The stages in the browser are the stages of the texts, so no bar is without a name."""
    stages = re.search(r"STAGES = \[(.*?)\]", (FOLDER / "stages.js").read_text(encoding="utf-8"))

    assert stages is not None
    assert set(re.findall(r'"(\w+)"', stages[1])) == ENDS["stage."] - {"seconds"}


def test_reasons_named_in_modules_exist() -> None:
    """Reasons that the modules react to are reasons of the contract."""
    names = {name.removeprefix("REASON_") for name in reason_pb2.Reason.keys()}  # noqa: SIM118  # an enum, not a dict
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js"))
    found = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', source))

    assert {"JOB_NOT_CANCELLABLE", "SERVICE_UNAVAILABLE"} <= found
    assert {name for name in found if name != "AUTH_"} <= names


def _loaded(module: str) -> set[str]:
    """Return the modules that one loads, itself and all that they import among them."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            source = (CLIENT if name == CLIENT.name else FOLDER / name).read_text(encoding="utf-8")
            waiting += re.findall(r'^import .*?"\./([a-z-]+\.js)";', source, re.MULTILINE)
    return found


def test_weight() -> None:
    """Scripts and styles of a page are under 150 KB before compression, and what may be fetched later is under 12."""
    sizes = WebFiles().sizes
    pages = {page: _loaded(page) | {"page.js"} for page in ("studio.js", "docs.js", "share.js")}
    pages["docs.js"] |= _loaded("docs-console.js")
    assert CLIENT.name in pages["studio.js"] & pages["share.js"]
    for page, modules in pages.items():
        styles = {"page.css", page.replace(".js", ".css")}
        assert sum(sizes[name] for name in modules | styles) < 150_000, page
    later = (_loaded("door.js") | _loaded("inbox.js")) - pages["studio.js"]
    assert sum(sizes[name] for name in later) < 12_000
    assert set.union(later, *pages.values()) == {name for name in sizes if name.endswith(".js")}


def test_a_default_length_is_on_offer() -> None:
    """The length that is chosen at first is one of those that can be chosen."""
    assert LENGTH_S in LENGTHS_S


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=x", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_prefers_page(accept: str, expected: bool) -> None:  # noqa: FBT001  # a row of a table
    """Only who names HTML, and not JSON before it, is given a page."""
    assert prefers_page(accept) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/a?b=1", "http://here/a?b=1"),
        ("https://x.test/a", "https://x.test/a"),
        ("//x.test/a", ""),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("http:", ""),
        ("", ""),
    ],
)
def test_absolute(address: str, expected: str) -> None:
    """Only web addresses stay, relative ones in full."""
    assert absolute(address, "http://here") == expected


def _luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`; WCAG 2.2, section 6."""
    long = "".join(2 * digit for digit in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = [int(long[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast() -> None:
    """Every pair of text and ground that the pages use has a contrast of 4.5 or more, in light and in dark."""
    css = (FOLDER / "page.css").read_text(encoding="utf-8")
    themes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)[;\n]", block)) for block in re.findall(r"\{([^{}]*)\}", css)]
    themes = [theme for theme in themes if "ground" in theme and "soft" in theme and theme["ground"] != "#fff"]
    pairs = [
        (text, ground)
        for text, grounds in {
            "ink": ("ground", "paper", "sunk", "a-soft"),
            "soft": ("ground", "paper", "sunk"),
            "a": ("ground", "paper", "a-soft"),
            "b": ("paper", "b-soft"),
            "on": ("a", "b"),
            "good": ("paper", "ground"),
            "bad": ("bad-soft",),
        }.items()
        for ground in grounds
    ]
    poor = []
    for theme in themes:
        for text, ground in pairs:
            low, high = sorted((_luminance(theme[text]), _luminance(theme[ground])))
            if (high + 0.05) / (low + 0.05) < 4.5:
                poor.append((text, ground, theme["ground"]))

    assert len(themes) == 3
    assert themes[1] == themes[2]
    assert poor == []


def test_wave_path() -> None:
    """The outline has one stroke per bar, the tallest where it is loudest, within the drawing whatever the input."""
    strokes = re.findall(r"M(\d+) (\d+)v(\d+)", wave_path([0, 100, 50, 300, -5]))
    heights = [int(height) for _, _, height in strokes]

    assert len(strokes) == WAVE_BARS
    assert max(heights) == 60
    assert heights[0] == heights[-1] == 2
    assert heights[WAVE_BARS // 2] == 30
    assert wave_path([]) == ""


def test_names_of_keys_and_styles() -> None:
    """Keys and styles we know are told in the reader's words, others stay as they came."""
    say = speaking(CATALOGUES["zh-CN"])

    assert key_name(say, "F# minor") == "F# 小调"
    assert key_name(say, "dorian") == "dorian"
    assert style_name(say, CATALOGUES["zh-CN"], "guofeng") == "国风"
    assert style_name(say, CATALOGUES["zh-CN"], "polka") == "polka"
