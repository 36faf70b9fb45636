"""A picture that somebody brings: how large it may be, what is done with it, what comes of it."""

from dataclasses import dataclass

from services.media.domain.errors import UploadFormatInvalid, UploadTooLarge
from services.media.domain.sound import GIF, JPEG, PNG, WEBP, Format
from services.media.domain.upload import MEBIBYTE

TAKEN: tuple[Format, ...] = (JPEG, PNG, WEBP, GIF)
MOST_BYTES = 10 * MEBIBYTE
MOST_PIXELS = 40_000_000
# Longest side of the picture itself and of its smaller versions, by name, the largest first.
LONGEST_PX = 2048
VARIANTS_PX = {"medium": 512, "thumbnail": 160}


@dataclass(frozen=True)
class Edit:
    """What to do with a picture; a width and height of 0 reach to its edges."""

    x_px: int = 0
    y_px: int = 0
    width_px: int = 0
    height_px: int = 0
    watermark: str = ""


@dataclass(frozen=True)
class Version:
    """One size of a picture, encoded; the name of the picture itself is empty."""

    name: str
    format: Format
    width_px: int
    height_px: int
    data: bytes


@dataclass(frozen=True)
class Variant:
    """A smaller version of a picture in the object store."""

    name: str
    storage_key: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Image:
    """The size of a picture and its smaller versions."""

    width_px: int
    height_px: int
    variants: tuple[Variant, ...] = ()


def check_bytes(size_bytes: int) -> None:
    """Raise UploadTooLarge when a picture has too many bytes."""
    if size_bytes > MOST_BYTES:
        raise UploadTooLarge.at("file", f"must be at most {MOST_BYTES} bytes", limit_bytes=MOST_BYTES)


def refusal(found: str) -> UploadFormatInvalid | UploadTooLarge:
    """Return the error for a file that is no picture that could be shown; `found` says what is wrong with it."""
    if found == "huge":
        return UploadTooLarge.at("file", f"must have at most {MOST_PIXELS} pixels", limit_pixels=MOST_PIXELS)
    return UploadFormatInvalid.at("file", f"not a picture that can be shown ({found})", found=found)
