"""The files behind the local object store: what is written in which order, so that a crash leaves no half object.

Of an object there are two files, the facts and the bytes. An object in parts has, until it is finished, a marker
and one file for each part; a part counts only while its marker is there, so whoever takes the marker away first and
then the files leaves nothing behind a writer that comes late.
"""

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from services.kit.ids import new_id
from services.kit.objects.store import ObjectNotFound, Part, StoredObject, out_of_reach

T = TypeVar("T")

_COPY_BYTES = 256 * 1024
_MARKER = ".parts"
_PART = ".part"


async def reaching(call: Callable[..., T], *arguments: object) -> T:
    """Run a file operation in a thread; a failing disk becomes Unavailable."""
    try:
        return await asyncio.to_thread(call, *arguments)
    except OSError as error:
        raise out_of_reach(error) from error


def create(path: Path) -> IO[bytes]:
    """Return a new file, opened for writing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("xb")


def commit(file: IO[bytes], facts_path: Path, stored: StoredObject) -> None:
    """Make the bytes durable, then the facts that name them, then remove what they replace."""
    file.flush()
    os.fsync(file.fileno())
    bytes_path = Path(file.name)
    before = read_facts(facts_path)
    _write_whole(facts_path, f"{bytes_path.name}.draft", {**asdict(stored), "file": bytes_path.name})
    if before is not None:
        before[1].unlink(missing_ok=True)


def read_facts(path: Path) -> tuple[StoredObject, Path] | None:
    """Return the object and the path of its bytes, or None when there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise out_of_reach(error) from error
    file = facts.pop("file")
    return StoredObject(**facts), path.with_name(file)


def remove(facts_path: Path) -> None:
    """Remove the facts first, so that no reader finds them without their bytes."""
    facts_path.unlink(missing_ok=True)
    remove_parts(facts_path)
    for rest in facts_path.parent.glob(f"{facts_path.stem}.*"):
        rest.unlink(missing_ok=True)


def begin_parts(facts_path: Path, content_type: str) -> str:
    """Return the id of a new object in parts, its marker durable."""
    facts_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    parts_id = new_id()
    marker = _marker(facts_path, parts_id)
    _write_whole(marker, f"{marker.name}.draft", {"content_type": content_type})
    return parts_id


def put_part(facts_path: Path, parts_id: str, number: int, data: bytes | bytearray) -> Part:
    """Return the part, durable in a file of its own; raises ObjectNotFound without its marker."""
    marker = _marker(facts_path, parts_id)
    # A name of its own for every try: a writer that was given up cannot change what another one stored.
    part = Part(number, len(data), f"{new_id()}-{hashlib.sha256(data).hexdigest()[:32]}")
    path = _part_path(facts_path, parts_id, part)
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        raise _gone(parts_id) from None
    if not marker.exists():
        path.unlink(missing_ok=True)
        raise _gone(parts_id)
    return part


def finish_parts(facts_path: Path, key: str, parts_id: str, parts: Sequence[Part]) -> None:
    """Copy the parts into one object and remove them; raises ObjectNotFound without their marker."""
    marker = _marker(facts_path, parts_id)
    try:
        content_type = json.loads(marker.read_text(encoding="utf-8"))["content_type"]
    except FileNotFoundError:
        raise _gone(parts_id) from None
    bytes_path = facts_path.with_name(f"{facts_path.stem}.{new_id()}")
    try:
        with create(bytes_path) as file:
            for part in parts:
                with _part_path(facts_path, parts_id, part).open("rb") as source:
                    shutil.copyfileobj(source, file, _COPY_BYTES)
            etag = hashlib.sha256("".join(part.etag for part in parts).encode()).hexdigest()[:32]
            stored = StoredObject(key, file.tell(), f"{etag}-{len(parts)}", content_type)
            commit(file, facts_path, stored)
    except FileNotFoundError:
        # Somebody else finished them or gave them up meanwhile.
        bytes_path.unlink(missing_ok=True)
        raise _gone(parts_id) from None
    except BaseException:
        bytes_path.unlink(missing_ok=True)
        raise
    marker.unlink(missing_ok=True)
    for rest in facts_path.parent.glob(f"{facts_path.stem}.{parts_id}.*"):
        rest.unlink(missing_ok=True)


def remove_parts(facts_path: Path) -> None:
    """Remove every unfinished object of the key: first the markers, then the parts."""
    folder, stem = facts_path.parent, facts_path.stem
    for marker in folder.glob(f"{stem}.*{_MARKER}*"):
        marker.unlink(missing_ok=True)
    for part in folder.glob(f"{stem}.*{_PART}"):
        part.unlink(missing_ok=True)


def _write_whole(path: Path, draft_name: str, values: dict[str, Any]) -> None:
    """Write a small file durably: readers see all of it or what was there before."""
    draft = path.with_name(draft_name)
    with draft.open("x", encoding="utf-8") as out:
        json.dump(values, out)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _marker(facts_path: Path, parts_id: str) -> Path:
    return facts_path.with_name(f"{facts_path.stem}.{parts_id}{_MARKER}")


def _part_path(facts_path: Path, parts_id: str, part: Part) -> Path:
    return facts_path.with_name(f"{facts_path.stem}.{parts_id}.{part.number}.{part.etag}{_PART}")


def _gone(parts_id: str) -> ObjectNotFound:
    return ObjectNotFound("there is no such unfinished object", parts_id=parts_id)
