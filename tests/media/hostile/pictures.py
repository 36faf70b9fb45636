"""Pictures made to do harm: huge dimensions, packed text, broken and foreign formats; and good ones to spoil."""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from PIL import Image

from tests.media.hostile import EITHER, GOOD, REFUSED, Hostile, Lure

PICTURES = ("PNG", "JPEG", "WEBP", "GIF")
_FOREIGN = ("BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "DDS", "EPS")
_CUTS = (8, 12, 20, 33, 60, 200)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@cache
def picture(form: str, *, width: int = 640, height: int = 480, mode: str = "RGB") -> bytes:
    """Return a picture with something to see in it."""
    gradient = Image.linear_gradient("L").resize((width, height))
    image = Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180))).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes, *more: bytes, depth: int = 8, color: int = 2) -> bytes:
    """Return a PNG that states these dimensions over these packed pixels, with more chunks before them."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return _SIGNATURE + png_chunk(b"IHDR", head) + b"".join(more) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def files(lure: Lure) -> Iterator[Hostile]:
    """Yield pictures that are huge, broken, foreign or lead elsewhere."""
    for form in PICTURES:
        data, ending = picture(form), form.lower()
        yield Hostile(f"wrongly-{ending}.mp3", data, GOOD, "audio/mpeg")
        yield from (Hostile(f"cut-{cut}.{ending}", data[:cut], REFUSED) for cut in _CUTS)
        yield Hostile(f"half.{ending}", data[: len(data) // 2], EITHER)
        yield Hostile(f"zeros.{ending}", data[:30] + bytes(20_000), EITHER)
    for form in _FOREIGN:
        yield Hostile(f"foreign.{form.lower()}", picture(form), REFUSED)
    yield Hostile("foreign.pdf", b"%PDF-1.7\n" + picture("JPEG"), REFUSED)
    yield from (Hostile(name, data, REFUSED) for name, data in _huge())
    yield from (Hostile(name, data, EITHER) for name, data in _stuffed())
    for way, target in (("file", lure.path), ("http", lure.address)):
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{target}"/><script href="{target}"/></svg>'
        yield Hostile(f"{way}-drawing.svg", svg.encode(), REFUSED)
        yield Hostile(f"{way}-drawing.png", b'<?xml version="1.0"?>' + svg.encode(), REFUSED)
        yield Hostile(f"{way}-message.mvg", f"push graphic-context\nimage over 0,0 0,0 '{target}'\n".encode(), REFUSED)
        xmp = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x href='" + target.encode() + b"'/>")
        yield Hostile(f"{way}-xmp.png", png(64, 64, zlib.compress(bytes(64 * 193)), xmp), GOOD)


def _huge() -> Iterator[tuple[str, bytes]]:
    """Yield pictures whose stated dimensions are beyond all bounds."""
    small = zlib.compress(bytes(1000))
    for width, height in (
        (65_535, 65_535),
        (2**31 - 1, 2**31 - 1),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (0, 0),
        (60_000, 60_000),
    ):
        yield f"png-{width}x{height}.png", png(width, height, small)
    packer, rows = zlib.compressobj(1), bytes((30_000 * 3 + 1) * 100)
    first, again = (packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    yield "packed-900mb.png", png(30_000, 10_000, first + again * 99)
    gif = bytearray(picture("GIF"))
    gif[6:10] = b"\xff" * 4
    yield "screen-65535.gif", bytes(gif)
    jpeg = bytearray(picture("JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    yield "frame-65500.jpg", bytes(jpeg)
    jpeg[at + 5 : at + 9] = bytes(4)
    yield "frame-0.jpg", bytes(jpeg)
    vp8l = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(5)
    yield "lossless-16384.webp", b"RIFF" + struct.pack("<I", 4 + len(vp8l)) + b"WEBP" + vp8l
    vp8x = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    yield "canvas-2e24.webp", b"RIFF" + struct.pack("<I", 4 + len(vp8x)) + b"WEBP" + vp8x


def _stuffed() -> Iterator[tuple[str, bytes]]:
    """Yield pictures of sane dimensions with something insane beside their pixels."""
    pixels = zlib.compress(bytes(64 * 193))
    packed = zlib.compress(bytes(40_000_000), 9)
    yield "text.png", png(64, 64, pixels, png_chunk(b"zTXt", b"a\0\0" + packed))
    yield "texts.png", png(64, 64, pixels, *[png_chunk(b"tEXt", b"a\0b")] * 50_000)
    yield "profile.png", png(64, 64, pixels, png_chunk(b"iCCP", b"a\0\0" + packed))
    yield "exif.png", png(64, 64, pixels, png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 5000))
    yield "pixels-left.png", png(64, 64, packed)
    yield "pixels-lacking.png", png(64, 64, zlib.compress(bytes(10)))
    yield "palette.png", png(64, 64, pixels, color=3)
    yield "depth.png", png(64, 64, pixels, depth=255)
    yield "color.png", png(64, 64, pixels, color=200)
    yield "frames.png", png(64, 64, pixels, png_chunk(b"acTL", b"\xff" * 8))
    jpeg = picture("JPEG")
    yield "segments.jpg", jpeg[:2] + (b"\xff\xfe\x00\x04ab") * 100_000 + jpeg[2:]
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\x08"
    yield "turned.jpg", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    scans = jpeg[jpeg.index(b"\xff\xda") : -2]
    yield "scans.jpg", jpeg[:-2] + scans * 200 + jpeg[-2:]
    frames = [Image.new("P", (64, 64), n % 7) for n in range(300)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    yield "frames.gif", buffer.getvalue()
    yield "transparent.png", picture("PNG", mode="RGBA")
    yield "grey.png", picture("PNG", mode="L")
    yield "inks.jpg", picture("JPEG", mode="CMYK")
    yield "thin.png", png(20_000, 1, zlib.compress(bytes(60_001)))
