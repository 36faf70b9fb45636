"""Small files that state or unfold into something huge: lengths, counts, depths, covers, archives."""

import gzip
import struct
import zlib
from collections.abc import Iterator

from tests.media.hostile import EITHER, REFUSED, Hostile
from tests.media.hostile.boxes import EBML, FTYP, box, chunk, element, flac_block, frame, full, id3, m4a, ogg_page, wav
from tests.media.hostile.polyglots import zipped
from tests.media.recordings import sound

_SELF_CONTAINED = full(b"url ")[:8] + b"\0\0\0\x01"


def files() -> Iterator[Hostile]:
    """Yield bombs of archives, tags, tables and nesting."""
    yield Hostile("zeros.zip", zipped("zeros", bytes(50_000_000)), REFUSED)
    yield Hostile("nested.zip", zipped("a.zip", zipped("b.zip", zipped("c", bytes(1_000_000)))), REFUSED)
    yield Hostile("zeros.wav.gz", gzip.compress(wav(bytes(20_000_000)), mtime=0), REFUSED)
    yield from (Hostile(name, data, expected) for name, data, expected in (*_flac(), *_riff(), *_tags(), *_others()))
    yield from (Hostile(name, data) for name, data in (*_boxes(), *_matroska()))


def _stream_info(rate: int, channels: int, samples: int, *, block: int = 4096) -> bytes:
    bits = rate << 44 | channels - 1 << 41 | 15 << 36 | samples
    return struct.pack(">HH", block, block) + bytes(6) + struct.pack(">Q", bits) + bytes(16)


def _flac() -> Iterator[tuple[str, bytes, str]]:
    good = sound("take.flac")
    for name, info in {
        "samples": _stream_info(44_100, 1, 2**36 - 1),
        "rate": _stream_info(655_350, 8, 1000),
        "no-rate": _stream_info(0, 1, 1000),
        "block": _stream_info(44_100, 1, 88_200, block=65_535),
        "no-block": _stream_info(44_100, 1, 88_200, block=0),
    }.items():
        yield f"{name}.flac", b"fLaC" + flac_block(0, info) + good[42:], EITHER
    yield "picture.flac", good[:4] + b"\0" + good[5:42] + flac_block(6, bytes(100), size=0xFFFFFF) + good[42:], EITHER
    yield "padding.flac", good[:4] + b"\0" + good[5:42] + flac_block(1, bytes(4_000_000)) + good[42:], EITHER
    comments = struct.pack("<I", 0) + struct.pack("<I", 0xFFFFFFFF)
    yield "comments.flac", good[:4] + b"\0" + good[5:42] + flac_block(4, comments) + good[42:], EITHER
    yield "seeks.flac", good[:4] + b"\0" + good[5:42] + flac_block(3, b"\xff" * 180_000) + good[42:], EITHER


def _riff() -> Iterator[tuple[str, bytes, str]]:
    silence = bytes(88_200 * 2)
    yield (
        "data-4gb.wav",
        wav(silence).replace(b"data" + struct.pack("<I", len(silence)), b"data\xff\xff\xff\xff"),
        EITHER,
    )
    yield "fmt-huge.wav", b"RIFF\xff\xff\xff\xffWAVE" + chunk(b"fmt ", bytes(40), size=0x7FFFFFF0), REFUSED
    ds64 = struct.pack("<QQQI", 2**63 - 1, 2**63 - 1, 2**63 - 1, 0)
    yield "rf64.wav", b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", ds64) + wav(silence)[12:], EITHER
    yield "table.wav", b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", ds64[:24] + b"\xff" * 4) + wav(silence)[12:], EITHER
    yield "chunks.wav", wav(silence, *([chunk(b"junk", b"")] * 100_000)), EITHER
    yield "list.wav", wav(silence, chunk(b"LIST", b"INFO" + chunk(b"INAM", b"x" * 3_000_000))), EITHER
    yield "nested.wav", wav(silence, *[chunk(b"LIST", b"wavl", size=0xFFFFFFF0)] * 2000), EITHER
    yield "bext.wav", wav(silence, chunk(b"bext", bytes(2_000_000))), EITHER
    yield "aiff-frames.aiff", sound("take.aiff").replace(struct.pack(">I", 88_200), b"\xff\xff\xff\xff", 1), EITHER


def _tags() -> Iterator[tuple[str, bytes, str]]:
    mp3 = sound("take.mp3")
    bare = mp3[mp3.index(b"\xff\xfb") :]
    yield "tag-256mb.mp3", id3(size=0x0FFFFFFF) + bare, REFUSED
    yield "cover-6mb.mp3", id3(frame(b"APIC", b"\0image/png\0\x03\0" + bytes(6_000_000))) + bare, EITHER
    bomb = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 65_535, 65_535, 16, 6, 0, 0, 0)
    )
    bomb += struct.pack(">I", zlib.crc32(bomb[12:])) + struct.pack(">I", 4) + b"IDAT" + bytes(8)
    yield "cover-bomb.mp3", id3(frame(b"APIC", b"\0image/png\0\x03\0" + bomb)) + bare, EITHER
    yield "frames.mp3", id3(*[frame(b"TXXX", b"\0a\0b")] * 50_000) + bare, EITHER
    yield "chapters.mp3", id3(*[frame(b"CHAP", b"c\0" + bytes(16) + frame(b"TIT2", b"\0x"))] * 20_000) + bare, EITHER
    packed = zlib.compress(bytes(30_000_000))
    yield (
        "packed.mp3",
        id3(b"TIT2" + struct.pack(">I", len(packed) + 4) + b"\0\x80" + b"\x7f\xff\xff\xff" + packed) + bare,
        EITHER,
    )
    yield "tags.mp3", id3(frame(b"TIT2", b"\0x")) * 5000 + bare, EITHER
    yield "ape.mp3", bare + b"APETAGEX" + struct.pack("<IIII", 2000, 0x7FFFFFFF, 0x7FFFFFFF, 0) + bytes(8), EITHER
    at = mp3.index(b"Info") if b"Info" in mp3 else mp3.index(b"Xing")
    yield "frames-stated.mp3", mp3[: at + 8] + b"\xff" * 8 + mp3[at + 16 :], REFUSED


def _others() -> Iterator[tuple[str, bytes, str]]:
    head = b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 255, 0xFFFFFFFF, 0, 0, 0, 0xB8, 1)
    yield "vorbis.ogg", ogg_page(head), REFUSED
    comment = b"\x03vorbis" + struct.pack("<II", 0, 0xFFFFFFFF)
    yield (
        "comments.ogg",
        ogg_page(b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 1, 44_100, 0, 0, 0, 0xB8, 1)) + ogg_page(comment, flags=0),
        REFUSED,
    )
    opus = b"OpusHead\x01\xff" + struct.pack("<HIhB", 65_535, 0xFFFFFFFF, 32_767, 255) + b"\xff\xff" + bytes(255)
    yield "mapping.opus", ogg_page(opus), REFUSED
    good = sound("take.opus.ogg")
    last = good.rindex(b"OggS")
    yield "granule.opus", good[: last + 6] + struct.pack("<q", 2**62) + good[last + 14 :], EITHER
    yield "pages.ogg", ogg_page(b"") * 20_000, REFUSED
    yield (
        "serials.ogg",
        b"".join(
            ogg_page(opus[:19], sequence=n)[:14] + struct.pack("<I", n) + ogg_page(opus[:19])[18:] for n in range(2000)
        ),
        REFUSED,
    )
    yield "packets.caf", sound("take.caf")[:8] + b"pakt" + struct.pack(">qqqii", 2**60, 2**60, 2**60, 0, 0), REFUSED
    yield "silent.amr", b"#!AMR\n" + b"\x04" * 2_000_000, EITHER
    yield "empty-frames.aac", b"\xff\xf1\x50\x80\x00\xff\xfc" * 30_000, EITHER
    yield "free-format.mp3", b"\xff\xfb\x04\x00" * 100_000, REFUSED


def _boxes() -> Iterator[tuple[str, bytes]]:
    deep = b""
    for _ in range(20_000):
        deep = box(b"moov", deep) if len(deep) < 200_000 else deep
    yield "deep.m4a", FTYP + deep
    yield "deep-trak.m4a", FTYP + (b"\0\0\xff\xfftrak" * 8000)
    for entries in (0, 2**24, 2**31 - 1, 2**32 - 1):
        yield f"entries-{entries}.m4a", m4a(_SELF_CONTAINED, entries=entries)
    yield "sample-2gb.m4a", m4a(_SELF_CONTAINED, sizes=2**31 - 1)
    yield "channels.m4a", m4a(_SELF_CONTAINED, channels=65_535)
    yield "no-channels.m4a", m4a(_SELF_CONTAINED, channels=0)
    yield "tracks.m4a", FTYP + box(b"moov", *[m4a(_SELF_CONTAINED)[8300:]] * 500)
    yield "size-zero.m4a", FTYP + box(b"moov", size=0) + bytes(100_000)
    yield "size-one.m4a", FTYP + box(b"mdat", b"\x7f" + b"\xff" * 7, size=1) + bytes(1000)
    yield "free.m4a", FTYP + box(b"free") * 200_000
    yield (
        "cover.m4a",
        FTYP
        + box(
            b"moov", box(b"udta", full(b"meta", box(b"ilst", box(b"covr", box(b"data", bytes(8), size=0x7FFFFFFF)))))
        ),
    )


def _matroska() -> Iterator[tuple[str, bytes]]:
    unknown = b"\x01" + b"\xff" * 7
    segment = b"\x18\x53\x80\x67"
    yield "deep.webm", EBML + (segment + unknown) * 20_000
    yield "clusters.webm", EBML + segment + unknown + (b"\x1f\x43\xb6\x75" + unknown) * 20_000
    track = element(b"\xd7", b"\x01") + element(b"\x83", b"\x02") + element(b"\x86", b"A_OPUS")
    for name, audio in {
        "rate": element(b"\xb5", struct.pack(">d", 4e9)) + element(b"\x9f", b"\x02"),
        "nan-rate": element(b"\xb5", struct.pack(">d", float("nan"))) + element(b"\x9f", b"\x02"),
        "channels": element(b"\xb5", struct.pack(">d", 48_000.0)) + element(b"\x9f", b"\xff\xff\xff"),
    }.items():
        tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", track + element(b"\xe1", audio)))
        yield f"{name}.webm", EBML + segment + unknown + tracks
    private = element(b"\x63\xa2", bytes(3_000_000))
    yield "private.webm", EBML + segment + unknown + element(b"\x16\x54\xae\x6b", element(b"\xae", track + private))
    packing = element(b"\x6d\x80", element(b"\x62\x40", element(b"\x50\x34", element(b"\x42\x54", b"\x00"))))
    yield "packed.webm", EBML + segment + unknown + element(b"\x16\x54\xae\x6b", element(b"\xae", track + packing))
    yield "many.webm", EBML + segment + unknown + element(b"\x16\x54\xae\x6b", element(b"\xae", track) * 5000)
    yield "size.webm", EBML + element(segment, b"", size=b"\x01\xff\xff\xff\xff\xff\xff\xfe")
    yield "void.webm", EBML + segment + unknown + element(b"\xec", bytes(2_000_000))
