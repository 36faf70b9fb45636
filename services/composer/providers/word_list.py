"""The list of words that content must not hold: ours, and the operator's own."""

from pathlib import Path
from typing import Final

from services.composer.domain.word_list import WordList
from services.kit.config import ConfigError

_OURS: Final = Path(__file__).with_name("words.txt")
_LARGEST: Final = 8 * 1024 * 1024  # characters; the list has a limit of its own well below


def word_list(own: Path | None) -> WordList:
    """Return our words and those of the operator's file; raises ConfigError when that cannot be read."""
    lines = _OURS.read_text(encoding="utf-8").splitlines()
    if own is None:
        return WordList.parsed(lines)
    try:
        with own.open(encoding="utf-8") as file:
            text = file.read(_LARGEST)
        return WordList.parsed([*lines, *text.splitlines()])
    except (OSError, ValueError) as error:
        raise ConfigError([f"WORD_LIST_FILE cannot be used: {error}"]) from error
