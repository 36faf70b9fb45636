"""The table and the command: misses are shown and counted, and frozen tunes stand apart."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from services.composer.engine.compose.song import compose
from services.composer.engine.compose.styles import STYLES
from services.composer.engine.music import HeardNote
from tests.composer.hand_made import analysis_of, brief
from tests.readme import README, check_marks
from tests.score import __main__ as command
from tests.score.picture import piano_roll, voice_curve
from tests.score.row import Row
from tests.score.song import plans
from tests.score.table import SECTION, markdown, page_table, screen

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    Row("song", "a|b", "<c>", 0.5, 3, "frozen", at_least=0.9, control="0.1"),
    Row("song", "told", "-", 2.0, 1),
    Row("song", "kept", "-", -14.25, 4, "tuned on", at_least=-14.3, at_most=-13.7),
]


def test_the_tables_say_the_same_in_three_dresses() -> None:
    """Terminal, README and page show each figure once, frozen first, misses as such, bars and brackets escaped."""
    out = io.StringIO()
    for each in screen(ROWS):
        Console(file=out, width=200).print(each)
    text, page = markdown(ROWS), page_table(ROWS)

    for shown in (out.getvalue(), text, page):
        assert shown.index("Frozen") < shown.index("tuned on") < shown.index("Independent")
        assert shown.count("NO") == 1
    assert "| song | a/b | <c> | 0.500 | >= 0.9 | NO | 3 | 0.1 |" in text
    assert "| song | told | - | 2 | - | - | 1 |  |" in text
    assert page.count('class="missed"') == 1
    assert "&lt;c&gt;" in page


def test_parts_that_were_not_measured_keep_their_rows_and_their_day() -> None:
    """A part measured anew replaces its own rows in README and no others; each part says when it was measured."""
    voices = [Row("singing", "cents", "male", 12.0, 9, at_most=50.0), Row("singing", "breaths", "-", 3.0, 9)]
    first = markdown([*ROWS, *voices], today="2026-01-01")
    again = markdown([replace(ROWS[0], value=0.95)], first, "2026-01-02")

    assert again.splitlines()[0] == "Measured with `make score`: singing 2026-01-01, song 2026-01-02."
    assert "| song | a/b | <c> | 0.950 | >= 0.9 | yes | 3 | 0.1 |" in again
    assert [line for line in again.splitlines() if line.startswith("| s")] == [
        "| song | a/b | <c> | 0.950 | >= 0.9 | yes | 3 | 0.1 |",
        "| singing | cents | male | 12 | <= 50 | yes | 9 |  |",
        "| singing | breaths | - | 3 | - | - | 9 |  |",
    ]
    assert again.count("<details>") == again.count("</details>") == 1
    assert markdown([*ROWS, *voices], again, "2026-01-01") == first


@pytest.mark.parametrize(("rows", "status"), [(ROWS, 1), (ROWS[1:], 0)])
def test_the_command_ends_with_status_one_when_a_figure_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rows: list[Row], status: int
) -> None:
    """`make score PART=song` prints the table, writes the page, and its status tells whether all holds."""
    ticks: list[str] = []

    def measure_song(tick: object) -> list[Row]:
        ticks.append("asked")
        tick("one")  # type: ignore[operator]  # the progress bar's
        return rows

    module = SimpleNamespace(measure_song=measure_song, TICKS=1)
    monkeypatch.setattr("importlib.import_module", lambda _name: module)
    monkeypatch.setattr(command, "write_page", lambda rows, _tick, measured: f"{measured}{page_table(rows)}")
    page = tmp_path / "score" / "index.html"

    done = CliRunner().invoke(command.main, ["--part", "song", "--out", str(page)])

    assert done.exit_code == status, done.output
    assert ticks == ["asked"]
    assert page_table(rows) in page.read_text(encoding="utf-8")


def test_readme_has_a_place_for_the_table() -> None:
    """README holds the marks between which `make score README=1` writes."""
    check_marks(README, SECTION)


def test_the_songs_of_the_table_cover_what_is_asked() -> None:
    """Every style is measured on frozen and tuned tunes, A and B, in lengths from 30 to 180 s."""
    found = plans()

    for kept in ("tuned on", "frozen"):
        mine = [plan for plan in found if plan.kept == kept]
        assert {(plan.style, plan.label) for plan in mine} == {(s.name, label) for s in STYLES for label in "AB"}
        assert {plan.seconds for plan in mine} >= {30.0, 180.0}
        assert len({plan.tune for plan in mine}) >= 8


def test_the_pictures_show_what_they_are_given() -> None:
    """The roll has the lead's colour, the voice's picture dots only where somebody sings, both at their size."""
    roll = Image.open(io.BytesIO(piano_roll(compose(analysis_of("ode to joy"), brief("pop", seconds=30.0), "A"))))
    assert roll.size == (1_100, 340)
    assert (214, 39, 40) in {colour for _, colour in roll.convert("RGB").getcolors(1 << 20) or []}
    note = HeardNote(0.2, 0.8, 60, 60.0)
    for hertz, seen in ((261.6, True), (0.0, False)):
        curve = Image.open(io.BytesIO(voice_curve(np.full(100, hertz, dtype=np.float32), [note], [note])))
        colours = {colour for _, colour in curve.convert("RGB").getcolors(1 << 20) or []}
        assert ((214, 39, 40) in colours) is seen
