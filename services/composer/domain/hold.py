"""Which hold pays for a job: its own id names the first, and each time it is put back another one is made.

The credits of a failed job went back, and a closed hold stays closed; so every round has a hold of its own, whose id
follows from job and round alone, and whoever repeats a round asks for the same hold.
"""

# Ids of jobs are UUIDs of version 7: 48 bits of time, the version, 12 and 62 random bits. Those of later holds are of
# version 8 with the same time, so that they sort close behind and never equal the id of a job.
_TIME = 14
_REST = 18
MOST_ROUNDS = 0xFFF


def hold_id(job_id: str, round_number: int) -> str:
    """Return the id of the hold for this round of the job, 0 being the first; raises ValueError above MOST_ROUNDS."""
    if not 0 <= round_number <= MOST_ROUNDS:
        message = f"a job has at most {MOST_ROUNDS} rounds"
        raise ValueError(message)
    return f"{job_id[:_TIME]}8{round_number:03x}{job_id[_REST:]}" if round_number else job_id


def first_of_moment(any_id: str) -> str:
    """Return an id that no id of the same millisecond is below."""
    return f"{any_id[:_TIME]}0000-0000-000000000000"
