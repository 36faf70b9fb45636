"""Files that are two things at once: what is sniffed decides, and nothing of the other half is run or served."""

import io
import zipfile
from collections.abc import Iterator

from tests.media.hostile import EITHER, REFUSED, Hostile
from tests.media.hostile.boxes import chunk, frame, id3, wav
from tests.media.hostile.pictures import picture
from tests.media.recordings import sound

_PAGE = b"<html><script>fetch('http://127.0.0.1:9/')</script></html>"
_ELF = b"\x7fELF\x02\x01\x01" + bytes(57)


def zipped(name: str = "a.class", data: bytes = b"\xca\xfe\xba\xbe") -> bytes:
    """Return a zip archive of one entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def files() -> Iterator[Hostile]:
    """Yield pairs of formats in one file, by what stands first."""
    mp3, flac, webm = sound("take.mp3"), sound("take.flac"), sound("take.webm")
    png, gif, jpeg = picture("PNG"), picture("GIF"), picture("JPEG")
    samples = wav(bytes(88_200 * 2))
    yield Hostile("zip-behind.mp3", mp3 + zipped(), EITHER)
    yield Hostile("zip-before.mp3", zipped() + mp3, REFUSED)
    yield Hostile("page-in-tag.mp3", id3(frame(b"COMM", b"\0eng\0" + _PAGE)) + mp3, EITHER)
    yield Hostile("page-before.mp3", _PAGE + mp3, REFUSED)
    yield Hostile("page-behind.wav", samples + _PAGE, EITHER)
    yield Hostile("page-inside.wav", wav(bytes(88_200 * 2), chunk(b"html", _PAGE)), EITHER)
    yield Hostile("page-before.wav", _PAGE + samples, REFUSED)
    yield Hostile("page-behind.flac", flac + _PAGE * 50, EITHER)
    yield Hostile("page-behind.webm", webm + _PAGE * 50, EITHER)
    yield Hostile("program-before.mp3", _ELF + mp3, REFUSED)
    yield Hostile("program-behind.mp3", mp3 + _ELF * 20, EITHER)
    yield Hostile("pdf-before.mp3", b"%PDF-1.7\n" + mp3, REFUSED)
    yield Hostile("pdf-in-tag.mp3", id3(frame(b"COMM", b"\0eng\0%PDF-1.7\n")) + mp3, EITHER)
    yield Hostile("sound-behind.png", png + mp3, EITHER)
    yield Hostile("picture-before.mp3", gif + mp3, EITHER)
    yield Hostile("archive-behind.gif", gif + zipped(), EITHER)
    yield Hostile("archive-behind.png", png + zipped(), EITHER)
    yield Hostile("code-behind.jpg", jpeg + b"<?php system($_GET[0]); ?>", EITHER)
    yield Hostile("comment.gif", b"GIF89a/*\x01\x00" + gif[10:] + b"*/=1;alert(1)", EITHER)
    yield Hostile("riff-both.wav", samples[:8] + b"WEBP" + samples[12:], REFUSED)
    yield Hostile("webp-named-wave.webp", picture("WEBP")[:8] + b"WAVE" + picture("WEBP")[12:], REFUSED)
    yield Hostile("two-heads.flac", b"fLaC" + mp3, REFUSED)
    yield Hostile("mp3-in-wav.wav", wav(mp3, code=0x55, bits=0), EITHER)
    yield Hostile("flac-in-id3.mp3", id3(frame(b"TIT2", b"\0x")) + flac, EITHER)
    yield Hostile("gzip-before.wav", b"\x1f\x8b\x08\x00" + samples, REFUSED)
    for index, (first, second) in enumerate(
        (("take.mp3", "take.webm"), ("take.ogg", "take.flac"), ("take.aac", "take.mp3"))
    ):
        yield Hostile(f"joined-{index}.bin", sound(first) + sound(second), EITHER)
