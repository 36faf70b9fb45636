"""Tests of what a row of the table of scores says of itself."""

import pytest

from tests.score.row import Row


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "holds", "asked"),
    [
        (0.99, 0.99, None, True, ">= 0.99"),
        (0.98, 0.99, None, False, ">= 0.99"),
        (-1.0, None, -1.0, True, "<= -1"),
        (-0.9, None, -1.0, False, "<= -1"),
        (-14.4, -14.3, -13.7, False, ">= -14.3 and <= -13.7"),
        (5.0, None, None, True, "-"),
    ],
)
def test_a_row_holds_within_its_bounds(
    *, value: float, at_least: float | None, at_most: float | None, holds: bool, asked: str
) -> None:
    """A row holds on its bounds and between them, fails outside, and says in the table what is asked."""
    row = Row("song", "loudness", "pop", value, 1, at_least=at_least, at_most=at_most)
    assert (row.holds, row.asked) == (holds, asked)
