"""Text from paths and queries to fields of every kind."""

from typing import Any

import pytest

from gateway.query import fill_from_query, set_variable
from gateway.shapes import shape_of
from gateway.templates import Variable
from services.kit.errors import ParamInvalid
from tests.gateway.kinds import Kinds


def read(*pairs: tuple[str, str]) -> Any:
    """Return the message made of the parameters."""
    message = Kinds()
    fill_from_query(message, pairs, taken=())
    return message


@pytest.mark.point(9)
@pytest.mark.parametrize(
    ("key", "text", "name", "value"),
    [
        ("one_string", "夜 曲", "one_string", "夜 曲"),
        ("oneString", "", "one_string", ""),
        ("one_int32", "-2147483648", "one_int32", -(2**31)),
        ("one_uint64", "18446744073709551615", "one_uint64", 2**64 - 1),
        ("one_bool", "true", "one_bool", True),
        ("one_bool", "0", "one_bool", False),
        ("one_double", "1e3", "one_double", 1000.0),
        ("one_enum", "wild_one", "one_enum", 7),
        ("one_enum", "MOOD_OF_DAY_CALM", "one_enum", 1),
        ("one_enum", "7", "one_enum", 7),
        ("one_enum", "-3", "one_enum", -3),
        ("one_bytes", "_-8", "one_bytes", b"\xff\xef"),
        ("maybe_int64", "0", "maybe_int64", 0),
    ],
)
def test_each_kind_is_read_from_its_text(key: str, text: str, name: str, value: object) -> None:
    """Numbers, booleans, enum words, bytes and texts, in either spelling of the name."""
    assert getattr(read((key, text)), name) == value


def test_times_lists_and_inner_fields_are_read() -> None:
    """A list repeats its key, an inner field is named with dots, times are RFC 3339."""
    message = read(
        ("many_int32", "1"),
        ("manyInt32", "2"),
        ("one_message.one_message.one_string", "deep"),
        ("one_message.oneInt32", "5"),
        ("one_timestamp", "2026-01-31T12:00:00Z"),
        ("one_duration", "1.5s"),
    )
    assert list(message.many_int32) == [1, 2]
    assert message.one_message.one_message.one_string == "deep"
    assert message.one_message.one_int32 == 5
    assert message.one_timestamp.seconds == 1769860800
    assert message.one_duration.nanos == 500_000_000


def test_wrappers_and_masks_are_read_as_the_one_value_that_they_are() -> None:
    """A wrapper of zero is set and not absent; a mask is names with commas in either spelling, repeated or not."""
    message = read(
        ("one_int64value", "0"),
        ("one_stringvalue", ""),
        ("oneBoolvalue", "false"),
        ("one_fieldmask", "title,voiceGender,track.cover_url"),
        ("many_int64value", "5"),
        ("many_int64value", "-6"),
    )
    assert (message.HasField("one_int64value"), message.one_int64value.value) == (True, 0)
    assert message.HasField("one_stringvalue")
    assert message.HasField("one_boolvalue")
    assert list(message.one_fieldmask.paths) == ["title", "voice_gender", "track.cover_url"]
    assert [each.value for each in message.many_int64value] == [5, -6]


@pytest.mark.point(9)
@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("one_int32", "2147483648")], "one_int32"),
        ([("one_int32", " 1")], "one_int32"),
        ([("one_int32", "1_0")], "one_int32"),
        ([("one_int32", "")], "one_int32"),
        ([("one_uint32", "-1")], "one_uint32"),
        ([("one_bool", "yes")], "one_bool"),
        ([("one_double", "nan")], "one_double"),
        ([("one_double", "1e999")], "one_double"),
        ([("one_enum", "9")], "one_enum"),
        ([("one_float", "1e39")], "one_float"),
        ([("one_double", " 1")], "one_double"),
        ([("one_int64value", "1.5")], "one_int64value"),
        ([("one_boolvalue", "yes")], "one_boolvalue"),
        ([("one_fieldmask", "a b")], "one_fieldmask"),
        ([("one_duration", "5")], "one_duration"),
        ([("one_value", "1")], "one_value"),
        ([("one_listvalue", "[]")], "one_listvalue"),
        ([("map_string_string", "{}")], "map_string_string"),
        ([("one_timestamp.seconds", "1")], "one_timestamp.seconds"),
        ([("one_enum", "loud")], "one_enum"),
        ([("one_bytes", "?")], "one_bytes"),
        ([("one_timestamp", "yesterday")], "one_timestamp"),
        ([("one_string", "a\0b")], "one_string"),
        ([("one_string", "\ud800")], "one_string"),
        ([("one_string", "a"), ("oneString", "b")], "one_string"),
        ([("choice_text", "a"), ("choice_whole", "1")], "choice_whole"),
        ([("one_message.one_int32", "x")], "one_message.one_int32"),
        ([("one_message", "x")], "one_message"),
        ([("many_message.one_int32", "1")], "many_message.one_int32"),
        ([("map_string_string.a", "1")], "map_string_string.a"),
        ([("one_struct", "{}")], "one_struct"),
        ([("one_string.length", "1")], "one_string.length"),
        ([("", "1")], ""),
        ([(".", "1")], "."),
        ([("many_int32", "1")] * 101, "query"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(pairs: list[tuple[str, str]], field: str) -> None:
    """Wrong kinds, doubles, clashing choices and places that a query cannot name."""
    with pytest.raises(ParamInvalid) as refusal:
        read(*pairs)
    assert refusal.value.violations[0].field == field


def test_a_field_that_path_or_body_has_set_is_no_parameter() -> None:
    """One field has one source."""
    with pytest.raises(ParamInvalid):
        fill_from_query(Kinds(), [("one_string", "a")], taken={"one_string"})
    with pytest.raises(ParamInvalid):
        fill_from_query(Kinds(), [("one_message.one_string", "a")], taken={"one_message"})


def test_a_path_variable_agrees_with_the_body_or_is_refused() -> None:
    """The same value twice is no contradiction, another one is."""
    variable = Variable("one_string", shape_of(Kinds).fields_by_name["one_string"], wide=False)
    message = Kinds(one_string="a")
    set_variable(message, variable, "%61")
    with pytest.raises(ParamInvalid) as refusal:
        set_variable(message, variable, "b")
    assert refusal.value.violations[0].rule == "conflict"
