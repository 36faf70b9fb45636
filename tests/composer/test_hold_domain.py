"""The id of the hold that pays for a round of a job."""

import pytest

from services.composer.domain.hold import MOST_ROUNDS, first_of_moment, hold_id
from services.kit.ids import is_id, new_id


def test_each_round_has_an_id_of_its_own_behind_its_job() -> None:
    """Every round of many jobs has another id, the same for a repeat, and sorts from its job's moment on in order."""
    jobs = [new_id() for _ in range(200)]
    held = {(job_id, number): hold_id(job_id, number) for job_id in jobs for number in (0, 1, 2, MOST_ROUNDS)}
    assert len(set(held.values())) == len(held)
    assert all(is_id(each) for each in held.values())
    for job_id in jobs:
        assert hold_id(job_id, 0) == job_id
        rounds = [held[job_id, number] for number in (0, 1, 2, MOST_ROUNDS)]
        assert rounds == sorted(rounds)
        assert all(first_of_moment(each) == first_of_moment(job_id) < each for each in rounds)


@pytest.mark.parametrize("number", [-1, MOST_ROUNDS + 1])
def test_a_round_out_of_range(number: int) -> None:
    """A round that no id can name is refused."""
    with pytest.raises(ValueError, match="rounds"):
        hold_id(new_id(), number)
