"""The settings that people read about are those that the code reads."""

import re
from pathlib import Path

from tests.contract.settings import EXAMPLE, declared, render

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_is_current() -> None:
    """.env.example says exactly what the configuration classes declare; `make gen` writes it."""
    assert EXAMPLE.read_text(encoding="utf-8") == render()


def test_every_setting_says_what_it_is_for() -> None:
    """Every setting has a sentence, and its name is spelled like a variable."""
    for _, settings in declared():
        for each in settings:
            assert len(each.doc) > 10, each.env
            assert re.fullmatch(r"[A-Z][A-Z0-9_]+", each.env)


def test_compose_uses_declared_settings_only() -> None:
    """docker-compose.yml sets and reads no variable that the code does not know."""
    known = {each.env for _, settings in declared() for each in settings} | {"POSTGRES_USER", "POSTGRES_DB"}
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text)) | set(re.findall(r"^\s+([A-Z][A-Z0-9_]+):", text, re.MULTILINE))

    assert used - known == set()
