"""A developer's synchronous client: asks after a job until it has ended, without a stream and without asyncio.

The clock comes as grpcio-testing has it, so that the pauses can be tried without waiting for them.
"""

from typing import Any, Protocol

import grpc

from cadenza.composer.v1 import job_service_pb2, job_service_pb2_grpc
from cadenza.job.v1 import job_pb2

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0
ANSWER_S = 10.0
ENDED = frozenset({job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})


class Time(Protocol):
    """The clock that the client waits by."""

    def time(self) -> float:
        """Return the present in seconds."""
        ...

    def sleep_for(self, duration: float) -> None:
        """Return after so many seconds."""
        ...


def wait_for_job(channel: grpc.Channel, job_id: str, *, token: str, patience_s: float, time: Time) -> job_pb2.Job:
    """Return the job once it has ended; TimeoutError when it takes longer than `patience_s`.

    A mesh that does not answer is asked again; every other refusal is raised as grpc.RpcError.
    """
    stub = job_service_pb2_grpc.JobServiceStub(channel)
    deadline, pause_s = time.time() + patience_s, FIRST_PAUSE_S
    while time.time() < deadline:
        try:
            job = stub.GetJob(
                job_service_pb2.GetJobRequest(job_id=job_id),
                timeout=ANSWER_S,
                metadata=(("authorization", f"Bearer {token}"),),
            ).job
        except grpc.RpcError as error:
            refusal: Any = error
            if refusal.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        else:
            if job.state in ENDED:
                return job
        time.sleep_for(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise TimeoutError(f"job {job_id} has not ended within {patience_s:g} s")
