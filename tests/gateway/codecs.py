"""The codec against `json_format` and the rules: `python -m tests.gateway.codecs --rounds 10000`.

Random messages of every type of the public contracts go both ways; the cases of protobuf's own suite and the hostile
texts are judged; and valid JSON is broken byte by byte, which must never be taken when `json_format` refuses it.
"""

import random
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import click
import orjson
from google.protobuf import json_format, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.codec import Codec
from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of, numbers_of, shape_of, words_of
from services.kit.errors import ParamInvalid
from tests.gateway.conformance import DIFFERENT, Case, cases
from tests.gateway.hostile import hostile
from tests.gateway.kinds import WIRE_TYPES, Kinds, random_message

_WIDE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_PIECES = (b'"', b":", b",", b"{", b"}", b"[", b"]", b"0", b"-", b".", b"e", b"null", b"true", b"\\", b"\xff", b"\x00")


def bytes_of(message: Message) -> bytes:
    """Return the message on the wire, maps in order."""
    return message.SerializeToString(deterministic=True)


def differences(cls: type[Message], *, rounds: int) -> list[str]:
    """Return what a run of random messages of the type shows to be different between the codec and json_format."""
    codec, chance = Codec(), random.Random(zlib.crc32(cls.DESCRIPTOR.full_name.encode()))
    found = []
    for turn in range(rounds if cls.DESCRIPTOR.fields else 1):
        message = random_message(cls, chance, turn % 2 if cls is Kinds else 3)
        ours = codec.encode(message)
        theirs = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        if ours != _house(theirs, message):
            found.append(f"{cls.DESCRIPTOR.full_name} {turn}: written differently")
        raw, camel = orjson.dumps(ours), json_format.MessageToJson(message, indent=None).encode()
        found += [
            f"{cls.DESCRIPTOR.full_name} {turn}: read differently from {text[:200]!r}"
            for text in (raw, camel)
            if bytes_of(codec.decode(text, cls)) != bytes_of(message)
        ]
    return found


def conformance() -> Iterator[tuple[str, bool]]:
    """Yield each case of the official suite, and whether it is answered as the suite demands."""
    codec = Codec()
    for case in cases():
        yield case.name, _passes(codec, case)


def taken() -> list[bytes]:
    """Return the hostile texts that were read as a message."""
    codec, found = Codec(), []
    for raw in hostile():
        try:
            codec.decode(raw, Kinds)
        except ParamInvalid:
            continue
        found.append(raw[:200])
    return found


def wrongly_taken(*, rounds: int, seed: int = 1) -> list[bytes]:
    """Return broken texts that were read though json_format refuses them, or read as something else."""
    codec, chance, found = Codec(), random.Random(seed), []
    for _ in range(rounds):
        raw = bytearray(orjson.dumps(codec.encode(random_message(Kinds, chance, 0))))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(raw))
            raw[place : place + chance.randint(0, 2)] = chance.choice(_PIECES)
        try:
            ours = codec.decode(bytes(raw), Kinds)
        except ParamInvalid:
            continue
        try:
            tree = orjson.loads(raw)
            theirs = json_format.ParseDict(_named(tree), Kinds())
        except Exception:  # noqa: BLE001  # json_format raises half a dozen kinds
            found.append(bytes(raw))
        else:
            if bytes_of(ours) != bytes_of(theirs):
                found.append(bytes(raw))
    return found


def _passes(codec: Codec, case: Case) -> bool:
    if case.unwritable is not None:
        try:
            codec.encode(text_format.Parse(case.unwritable, case.type()))
        except (ValueError, json_format.Error):
            return True
        return False
    try:
        message = codec.decode(case.json.encode(), case.type)
    except ParamInvalid:
        return case.text is None and case.printed is None
    if case.printed is not None:
        return bool(case.printed.items() <= codec.encode(message).items())
    return case.text is not None and bytes_of(message) == bytes_of(text_format.Parse(case.text, case.type()))


def _named(tree: Any) -> Any:
    """Return the values of a `Kinds` with the full names of its enum, which json_format knows."""
    numbers = numbers_of(enum_of(shape_of(Kinds).fields_by_name["one_enum"]))
    enums = {"one_enum", "many_enum", "map_string_enum", "map_int64_enum", "map_bool_enum"}

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        return numbers.get(value, value) if isinstance(value, str) else value

    return {key: named(value) if key in enums else value for key, value in tree.items()}


def _house(values: Any, message: Any) -> Any:
    """Return what `json_format` wrote in the spelling that the gateway promises."""
    descriptor = shape_of(message)
    if is_well_known(descriptor):
        return values
    spelled: dict[str, Any] = {}
    for field in descriptor.fields:
        if field.name not in values:
            if field.message_type is None or field.message_type.full_name != "google.protobuf.Value":
                spelled[field.name] = None
            continue
        value, held = values[field.name], getattr(message, field.name)
        if is_map(field):
            inner = map_parts(field)[1]
            typed = {str(key).lower() if isinstance(key, bool) else str(key): each for key, each in held.items()}
            spelled[field.name] = {key: _house_value(each, inner, typed[key]) for key, each in value.items()}
        elif field.is_repeated:
            pairs = zip(value, held, strict=True)
            spelled[field.name] = [_house_value(each, field, typed_each) for each, typed_each in pairs]
        else:
            spelled[field.name] = _house_value(value, field, held)
    return spelled


def _house_value(value: Any, field: FieldDescriptor, held: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return words_of(enum_of(field))[held]
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _house(value, held) if not is_well_known(message_of(field)) else value
    return int(value) if field.cpp_type in _WIDE else value


@click.command()
@click.option("--rounds", default=10_000, show_default=True, help="random messages of each type")
@click.option("--mutants", default=100_000, show_default=True, help="broken texts")
def main(rounds: int, mutants: int) -> None:
    """Compare, and fail on any difference that is not named."""
    began, faults, messages = time.perf_counter(), [], 0
    types = [Kinds, *WIRE_TYPES]
    for cls in types:
        faults += differences(cls, rounds=rounds)
        messages += rounds if cls.DESCRIPTOR.fields else 1
    seconds = time.perf_counter() - began
    click.echo(f"{messages} messages of {len(types)} types both ways in {seconds:.0f} s, {len(faults)} differences")
    judged = list(conformance())
    failed = {name for name, passed in judged if not passed}
    click.echo(f"{len(judged)} cases of the official suite, {len(failed)} answered otherwise:")
    for name in sorted(failed):
        click.echo(f"  {name}: {DIFFERENT.get(name, 'NOT NAMED')}")
    wrong = taken()
    click.echo(f"{len(list(hostile()))} hostile texts, {len(wrong)} taken")
    broken = wrongly_taken(rounds=mutants)
    click.echo(f"{mutants} broken texts, {len(broken)} wrongly taken")
    for fault in (*faults[:10], *wrong[:10], *broken[:10]):
        click.echo(f"  {fault!r}")
    sys.exit(bool(faults or wrong or broken or failed != set(DIFFERENT)))


if __name__ == "__main__":
    main()
