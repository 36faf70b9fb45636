"""What an upload may be: sizes, lengths, names and the keys it is stored under."""

import unicodedata
from dataclasses import dataclass

from services.media.domain.asset import Kind
from services.media.domain.errors import UploadDurationInvalid, UploadFormatInvalid, UploadIncomplete, UploadTooLarge
from services.media.domain.sound import Format

MEBIBYTE = 1024 * 1024
# Mini-programs cannot send more in one wx.uploadFile call.
MINI_PROGRAM = "wxmp"
_LONGEST_NAME = 200
# Encoders pad: a sound of exactly the allowed length comes back up to two mp3 frames and a
# decoder delay longer, and nobody should be refused for that.
PADDING_MS = 150

_FOLDERS = {
    Kind.RECORDING: "audio",
    Kind.MUSIC: "music/generated",
    Kind.IMAGE: "cover",
    Kind.DOCUMENT: "documents",
}


@dataclass(frozen=True)
class Limits:
    """How large and how long uploads may be."""

    proxy_bytes: int = 50 * MEBIBYTE
    mini_program_bytes: int = 10 * MEBIBYTE
    presigned_bytes: int = 100 * MEBIBYTE
    resumable_bytes: int = 100 * MEBIBYTE
    # Files made by our own services, a whole song at most.
    stored_bytes: int = 100 * MEBIBYTE
    shortest_ms: int = 1_000
    longest_ms: int = 180_000

    def streamed_bytes(self, platform: str) -> int:
        """Return the most bytes that an upload through the gateway may have on a platform."""
        return min(self.mini_program_bytes, self.proxy_bytes) if platform == MINI_PROGRAM else self.proxy_bytes

    def check_streamed(self, size_bytes: int, platform: str, field: str) -> None:
        """Raise UploadTooLarge, with what to do instead, when a streamed upload has too many bytes."""
        limit = self.streamed_bytes(platform)
        if size_bytes > limit:
            hint = "web" if platform == MINI_PROGRAM else "presign"
            raise UploadTooLarge.at(field, f"must be at most {limit} bytes", limit_bytes=limit, hint=hint)

    def check_stored(self, size_bytes: int) -> None:
        """Raise UploadTooLarge when a file made by a service has too many bytes."""
        if size_bytes > self.stored_bytes:
            limit = self.stored_bytes
            raise UploadTooLarge.at("chunk", f"must be at most {limit} bytes", limit_bytes=limit)

    def check_announced(self, size_bytes: int) -> None:
        """Raise UploadFormatInvalid for an empty and UploadTooLarge for an oversized presigned upload."""
        if size_bytes <= 0:
            raise UploadFormatInvalid.at("size_bytes", "an empty file holds no sound", found="empty")
        if size_bytes > self.presigned_bytes:
            limit = self.presigned_bytes
            raise UploadTooLarge.at("size_bytes", f"must be at most {limit} bytes", limit_bytes=limit)

    def check_resumable(self, size_bytes: int, platform: str) -> None:
        """Raise UploadFormatInvalid for an empty and UploadTooLarge for an oversized upload that can be resumed."""
        if size_bytes <= 0:
            raise UploadFormatInvalid.at("size_bytes", "an empty file holds no sound", found="empty")
        mini = platform == MINI_PROGRAM
        limit = min(self.mini_program_bytes, self.resumable_bytes) if mini else self.resumable_bytes
        if size_bytes > limit:
            hint = {"hint": "web"} if mini else {}
            raise UploadTooLarge.at("size_bytes", f"must be at most {limit} bytes", limit_bytes=limit, **hint)

    def check_duration(self, duration_ms: int) -> None:
        """Raise UploadDurationInvalid with the length found and the lengths allowed."""
        if self.shortest_ms <= duration_ms <= self.longest_ms + PADDING_MS:
            return
        raise UploadDurationInvalid.at(
            "file",
            f"the sound lasts {duration_ms} ms, allowed are {self.shortest_ms} to {self.longest_ms}",
            duration_ms=duration_ms,
            shortest_ms=self.shortest_ms,
            longest_ms=self.longest_ms,
        )


def check_arrived(announced_bytes: int, arrived_bytes: int) -> None:
    """Raise UploadIncomplete when a size was announced and another number of bytes came."""
    if announced_bytes and announced_bytes != arrived_bytes:
        raise UploadIncomplete.at(
            "size_bytes",
            f"{announced_bytes} bytes were announced and {arrived_bytes} came",
            announced_bytes=announced_bytes,
            arrived_bytes=arrived_bytes,
        )


def check_digest(announced: str, arrived: str) -> None:
    """Raise UploadIncomplete when a SHA-256 was announced and the file that came has another one."""
    if announced and announced != arrived:
        raise UploadIncomplete.at("sha256", "the file has another SHA-256 than was announced", arrived_sha256=arrived)


def clean_filename(name: str, otherwise: str = "recording") -> str:
    """Return the name without any path, control or direction characters; `otherwise` when nothing is left."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    # Category C holds control, format (direction overrides), surrogate and unassigned characters.
    kept = "".join(" " if letter.isspace() else letter for letter in last)
    kept = "".join(letter for letter in kept if unicodedata.category(letter)[0] != "C")
    words = " ".join(kept.split()).lstrip(". ")
    if len(words) > _LONGEST_NAME:
        stem, dot, extension = words.rpartition(".")
        short = dot and len(extension) <= len("webm")
        words = f"{stem[: _LONGEST_NAME - len(extension) - 1]}.{extension}" if short else words[:_LONGEST_NAME]
    return words or otherwise


def raw_key(random_id: str, found: Format | None = None) -> str:
    """Return the key for bytes as a client sent them; nothing of the client's naming enters it."""
    return f"raw/{random_id}.{found.extension if found else 'bin'}"


def playable_key(kind: Kind, random_id: str, extension: str) -> str:
    """Return the key for a file that is handed out, in the folder of its kind."""
    return f"{_FOLDERS[kind]}/{random_id}.{extension}"


def download_filename(name: str, storage_key: str) -> str:
    """Return the name under which a browser saves a stored file, with the ending of its key."""
    # A title may hold what a file system does not take.
    letters = "".join("-" if letter in '/\\:*?"<>|' else letter for letter in name)
    return f"{clean_filename(letters)}.{storage_key.rpartition('.')[2]}"
