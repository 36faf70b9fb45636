"""The compiled codec against ``json_format``: from the wire to JSON and back, parsing and writing included.

Each side reads the spelling that it prints itself: ours numbers and short words, ``json_format`` its own.
"""

import time
from collections.abc import Callable

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from cadenza.composer.v1 import track_service_pb2 as pb
from gateway.codec import Codec
from tests.bench.rounds import MEDIAN, Figures, Row, Side, Trial

TRACKS = 20
LONG_ENOUGH_S = 0.1
_WARM = 3


def listed() -> pb.ListTracksResponse:
    """Return a page of twenty tracks with both variants, as a client sees them."""
    page = pb.ListTracksResponse(next_page_token="WyIyMDI2LTExLTIyIiwgIjAxOWEiXQ")
    for number in range(TRACKS):
        track = page.tracks.add(
            track_id=f"019a8f00-0000-7000-8000-{number:012d}",
            title=f"Ode an die Freude {number} 欢乐颂",
            state=pb.Track.STATE_READY,
            job_id=f"019a8f00-0000-7000-8001-{number:012d}",
            asset_id=f"019a8f00-0000-7000-8002-{number:012d}",
            style="pop",
            cover_url="http://127.0.0.1:8080/_objects/cadenza/cover/1.jpg?exp=1795000000&sig=0123456789abcdef",
            provider="offline",
            cost_credits=20,
            duration_s=75,
        )
        track.create_time.FromMilliseconds(1_795_000_000_123 + number)
        track.update_time.FromMilliseconds(1_795_000_015_456 + number)
        for label in ("A", "B"):
            track.variants.add(
                variant_id=f"019a8f00-0000-7000-8003-{number:012d}",
                label=label,
                audio_url="http://127.0.0.1:8080/_objects/cadenza/music/generated/1.mp3?exp=1795000000&sig=01234567",
                duration_ms=76_543,
                style="pop",
                key="D major",
                tempo_bpm=107.98,
                melody_score=0.9312,
                loudness_lufs=-14.02,
                score=0.871,
                recommended=label == "A",
                chords=["D", "A", "Bm7", "G"] * 4,
                instruments=["flute", "piano", "bass", "drums"],
            )
    return page


def asked() -> pb.CreateTrackRequest:
    """Return a wish for a song with one kilobyte of words."""
    return pb.CreateTrackRequest(
        asset_id="019a8f00-0000-7000-8002-000000000001",
        title="欢乐颂",
        style="pop",
        mood="bright",
        lyrics="Freude, schöner Götterfunken, Tochter aus Elysium\n" * 20,
        voice_gender=pb.VOICE_GENDER_FEMALE,
        duration_s=75,
        seed=20,
        request_id="019a8f00-0000-7000-8004-000000000001",
    )


async def measure(trial: Trial) -> list[Row]:
    """Return a row for each direction of each message, in microseconds of processor time."""
    rows = []
    codec = Codec()
    for name, message in (("ListTracks, 20 tracks", listed()), ("CreateTrackRequest, 1 KB", asked())):
        wire = message.SerializeToString()
        codec.prepare(type(message))
        both = {
            "encode": (_encoding(codec, message, wire), _reference_encoding(message, wire)),
            "decode": (_decoding(codec, message), _reference_decoding(message)),
        }
        for direction, (ours, reference) in both.items():
            figure = f"{direction} {name}"
            series = await trial.in_turn(_timed(figure, ours), _timed(figure, reference))
            row = Row("codec", figure, "µs", "json_format", series.ours[figure], series.reference[figure], MEDIAN)
            rows.append(row)
        floors = {
            "encode": _writing(message, codec.encode(message)),
            "decode": _reading(codec.encode(message), message),
        }
        for direction, floor in floors.items():
            figure = f"{direction} {name}, against the limit"
            series = await trial.in_turn(_timed(figure, both[direction][0]), _timed(figure, floor))
            values = (series.ours[figure], series.reference[figure])
            rows.append(Row("codec", figure, "µs", "upb and orjson alone, in C", *values))
    return rows


def _writing(message: Message, values: object) -> Callable[[], object]:
    """Return what no encoder in Python can be below: parsing the wire and printing values that are there already."""
    parse, wire = type(message).FromString, message.SerializeToString()
    return lambda: (parse(wire), orjson.dumps(values))


def _reading(values: object, message: Message) -> Callable[[], object]:
    """Return the same of decoding: parsing the text and writing a message that is there already."""
    text = orjson.dumps(values)
    return lambda: (orjson.loads(text), message.SerializeToString())


def _encoding(codec: Codec, message: Message, wire: bytes) -> Callable[[], object]:
    parse = type(message).FromString
    return lambda: orjson.dumps(codec.encode(parse(wire)))


def _reference_encoding(message: Message, wire: bytes) -> Callable[[], object]:
    parse = type(message).FromString
    return lambda: _reference_text(parse(wire))


def _reference_text(message: Message) -> bytes:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, indent=None
    ).encode()


def _decoding(codec: Codec, message: Message) -> Callable[[], object]:
    kind, text = type(message), orjson.dumps(codec.encode(message))
    return lambda: codec.decode(text, kind).SerializeToString()


def _reference_decoding(message: Message) -> Callable[[], object]:
    kind, text = type(message), _reference_text(message)
    return lambda: json_format.Parse(text, kind()).SerializeToString()


def _timed(figure: str, work: Callable[[], object]) -> Side:
    """Return a side that repeats the work often enough for the clock and gives microseconds for one of them."""
    for _ in range(_WARM):
        work()
    began = time.process_time()
    work()
    times = max(1, round(LONG_ENOUGH_S / max(time.process_time() - began, 1e-6)))

    async def side() -> Figures:
        start = time.process_time()
        for _ in range(times):
            work()
        return {figure: (time.process_time() - start) / times * 1e6}

    return side
