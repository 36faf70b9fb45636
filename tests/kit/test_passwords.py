"""Passwords are kept as argon2id hashes of OWASP's strength, and a flood of them is turned away."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters

from services.kit.errors import Unavailable
from services.kit.passwords import Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Yield the hasher."""
    made = Passwords()
    yield made
    made.close()


async def test_a_hash_is_argon2id_with_a_salt_of_its_own(passwords: Passwords) -> None:
    """Two hashes of one password differ, name argon2id with OWASP's parameters, and match that password alone."""
    one, other = await passwords.hash("correct horse"), await passwords.hash("correct horse")

    assert one != other
    found = extract_parameters(one)
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19_456, 2, 1)
    assert await passwords.matches(one, "correct horse")
    assert not await passwords.matches(one, "correct horsE")


@pytest.mark.parametrize("stored", ["", "correct horse", "$argon2id$v=19$m=1", "\x00"])
async def test_what_is_no_hash_matches_nothing(passwords: Passwords, stored: str) -> None:
    """A stored text that is no hash matches no password and is outdated."""
    assert not await passwords.matches(stored, "correct horse")
    assert passwords.is_outdated(stored)


async def test_a_hash_of_other_parameters_still_matches_and_is_outdated(passwords: Passwords) -> None:
    """A hash made with weaker parameters is checked all the same, and is told to be made anew."""
    old = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("correct horse")

    assert await passwords.matches(old, "correct horse")
    assert passwords.is_outdated(old)
    assert not passwords.is_outdated(await passwords.hash("correct horse"))


async def test_a_flood_is_turned_away_and_the_rest_is_answered(passwords: Passwords) -> None:
    """Of more hashes at once than may wait, those beyond are refused as busy, and later ones are made again."""
    made = await asyncio.gather(*(passwords.hash("x") for _ in range(70)), return_exceptions=True)

    assert [type(each) for each in made[64:]] == [Unavailable] * 6
    assert all(isinstance(each, str) for each in made[:64])
    assert await passwords.matches(await passwords.hash("y"), "y")
