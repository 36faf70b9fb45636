"""Good files with seeded damage: flipped, lost, doubled and foreign bytes."""

import random
from collections.abc import Iterator

from tests.media.hostile import EITHER, Hostile
from tests.media.hostile.pictures import PICTURES, picture
from tests.media.recordings import SOUNDS, sound

_OF_EACH_SOUND = 6
_OF_EACH_PICTURE = 8


def files(seed: int) -> Iterator[Hostile]:
    """Yield several mutants of every format, the same for the same seed."""
    chance = random.Random(seed)
    goods = [(name, sound(name), _OF_EACH_SOUND) for name in SOUNDS]
    goods += [(f"picture.{name.lower()}", picture(name), _OF_EACH_PICTURE) for name in PICTURES]
    for name, data, count in goods:
        for number in range(count):
            yield Hostile(f"mutant-{seed}-{number}-{name}", mutated(data, chance), EITHER)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the data with one to forty faults, mostly near its beginning, where the headers are."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 10, 40))):
        reach = chance.choice((64, 512, len(changed)))
        at = chance.randrange(max(min(reach, len(changed)), 1))
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
            case 2:
                del changed[at : at + chance.randrange(1, 64)]
            case 3:
                changed[at:at] = changed[at : at + chance.randrange(1, 256)]
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 16))
    return bytes(changed)
