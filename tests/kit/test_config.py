"""The environment becomes a value, with every mistake told at once and no secret shown."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.kit.config import ConfigError, ProcessConfig, Secret, load, setting, settings_of


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A configuration with every type there is."""

    name: str = setting("NAME", doc="required text")
    count: int = setting("COUNT", 3, doc="a whole number")
    ratio: float = setting("RATIO", 0.5, doc="a number")
    on: bool = setting("ON", False, doc="a switch")  # noqa: FBT003  # a default
    folder: Path | None = setting("FOLDER", None, doc="a folder")
    hosts: tuple[str, ...] = setting("HOSTS", (), doc="names")
    key: str = setting("KEY", "", doc="a key", secret=True)
    made: str = "not from the environment"


def test_every_type_is_read() -> None:
    """Text becomes int, float, bool, Path and tuple."""
    sample = load(
        Sample,
        {"NAME": "n", "COUNT": "7", "RATIO": "1.5", "ON": "Yes", "FOLDER": "/tmp/x", "HOSTS": "a, b,,c", "KEY": "k"},  # noqa: S108
    )
    assert (sample.count, sample.ratio, sample.on, sample.folder) == (7, 1.5, True, Path("/tmp/x"))  # noqa: S108
    assert (sample.hosts, sample.key, sample.made) == (("a", "b", "c"), "k", "not from the environment")


def test_an_empty_variable_is_unset() -> None:
    """A variable set to nothing means its default."""
    assert load(Sample, {"NAME": "n", "COUNT": "", "FOLDER": ""}) == Sample(name="n")


def test_all_problems_are_reported_together() -> None:
    """One start tells every mistake, with the name of its variable."""
    with pytest.raises(ConfigError) as caught:
        load(Sample, {"COUNT": "many", "RATIO": "half", "ON": "perhaps"})
    assert [line.split()[0] for line in caught.value.problems] == ["NAME", "COUNT", "RATIO", "ON"]


def test_a_malformed_secret_is_not_quoted() -> None:
    """The report of a mistake never holds the value of a secret."""

    @dataclass(frozen=True)
    class Pin:
        pin: int = setting("PIN", 0, doc="a secret number", secret=True)

    with pytest.raises(ConfigError) as caught:
        load(Pin, {"PIN": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "PIN" in str(caught.value)


def test_repr_covers_secrets() -> None:
    """Neither a loaded nor a hand-made configuration shows a secret; the value itself is whole."""
    loaded = load(ProcessConfig, {"DATABASE_URL": "postgresql://u:hunter2@h/d", "S3_SECRET_KEY": "hunter3"})
    made = ProcessConfig(database_url="postgresql://u:hunter2@h/d", s3_secret_key="hunter3")
    for config in (loaded, made):
        assert "hunter" not in repr(config)
        assert "postgresql://u:***@h/d" in repr(config)
        assert str(config.s3_secret_key) == "hunter3"
        assert f"{config.database_url}" == "postgresql://u:hunter2@h/d"


def test_an_unset_secret_looks_unset() -> None:
    """Stars stand for a value only where there is one."""
    assert repr(Secret("")) == "''"
    assert repr(Secret("x")) == "'***'"


def test_settings_are_listed_for_the_example_file() -> None:
    """Name, default, text and secrecy of each setting can be compared with .env.example."""
    docs = {each.env: each for each in settings_of(Sample)}
    assert list(docs) == ["NAME", "COUNT", "RATIO", "ON", "FOLDER", "HOSTS", "KEY"]
    assert (docs["NAME"].default, docs["COUNT"].default, docs["KEY"].secret) == (None, 3, True)
    assert docs["COUNT"].doc == "a whole number"


def test_a_process_is_named_after_its_package() -> None:
    """A service's own configuration class tells the service's short name."""
    assert ProcessConfig().service == "kit"


def test_a_type_no_variable_can_hold_is_a_mistake_in_the_code() -> None:
    """An unsupported annotation fails as a programming error and not as a user's."""

    @dataclass(frozen=True)
    class Odd:
        odd: dict[str, str] = setting("ODD", None, doc="cannot be")

    with pytest.raises(TypeError):
        load(Odd, {"ODD": "x"})
