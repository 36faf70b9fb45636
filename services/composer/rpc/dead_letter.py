"""The dead letter service of the contract."""

from typing import Any

from cadenza.composer.v1 import dead_letter_service_pb2 as pb
from cadenza.composer.v1.dead_letter_service_pb2_grpc import DeadLetterServiceServicer
from services.composer.rpc.messages import job_message, timestamp
from services.composer.usecases.dead_letter import DeadJobs
from services.kit.jobs.job import Attempt, Job
from services.kit.rpc.identity import current_user


class DeadLetterRpc(DeadLetterServiceServicer):
    """Answers the calls of cadenza.composer.v1.DeadLetterService."""

    def __init__(self, dead: DeadJobs) -> None:
        self._dead = dead

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Any) -> pb.ListDeadLettersResponse:
        """Return a page of dead letters."""
        found, token = await self._dead.page(
            kind=request.kind, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListDeadLettersResponse(dead_letters=[_letter(each) for each in found], next_page_token=token)

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Any) -> pb.GetDeadLetterResponse:
        """Return a dead letter with every attempt at it."""
        job, attempts = await self._dead.get(request.job_id.lower())
        return pb.GetDeadLetterResponse(dead_letter=_letter(job), attempts=[_attempt(each) for each in attempts])

    async def RequeueJob(self, request: pb.RequeueJobRequest, context: Any) -> pb.RequeueJobResponse:
        """Put a job back."""
        operator_id, job_id = current_user().user_id, request.job_id.lower()
        job = await self._dead.requeue(operator_id, request_id=request.request_id, job_id=job_id)
        return pb.RequeueJobResponse(job=job_message(job))

    async def DropJob(self, request: pb.DropJobRequest, context: Any) -> pb.DropJobResponse:
        """Drop a dead letter."""
        job = await self._dead.drop(current_user().user_id, request.job_id.lower())
        return pb.DropJobResponse(job=job_message(job))


def _letter(job: Job) -> pb.DeadLetter:
    return pb.DeadLetter(
        job=job_message(job),
        user_id=job.user_id,
        dead_time=timestamp(job.dead_time),
        quarantined=job.quarantined,
        killed_count=job.kills,
        requeued_count=job.revivals,
    )


def _attempt(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        attempt=attempt.attempt,
        worker=attempt.worker,
        start_time=timestamp(attempt.start_time),
        end_time=timestamp(attempt.end_time),
        outcome=attempt.outcome,
        error_reason=attempt.error_reason,
        error_message=attempt.error_message,
    )
