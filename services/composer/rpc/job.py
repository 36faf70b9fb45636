"""The job service of the contract."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from cadenza.composer.v1 import job_service_pb2 as pb
from cadenza.composer.v1.job_service_pb2_grpc import JobServiceServicer
from services.composer.rpc.messages import event_message, job_message
from services.composer.usecases.job import Jobs
from services.kit.rpc.identity import current_user


class JobRpc(JobServiceServicer):
    """Answers the calls of cadenza.composer.v1.JobService."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Return one of the caller's jobs."""
        return pb.GetJobResponse(job=job_message(await self._jobs.get(current_user().user_id, request.job_id)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """Return a page of the caller's jobs."""
        found, token = await self._jobs.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListJobsResponse(jobs=[job_message(each) for each in found], next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:
        """Stream a job's log: the present state, then every later event, until the last one."""
        told: int | None = None
        async with aclosing(self._jobs.watch(current_user().user_id, request.job_id, request.after_sequence)) as lines:
            async for job, event in lines:
                yield pb.WatchJobResponse(
                    sequence=event.sequence,
                    job=job_message(job) if job else None,
                    # What repeats a number is the job as it stands, not a line of its log.
                    event=None if told is None or event.sequence == told else event_message(event),
                )
                told = event.sequence

    async def ListJobEvents(self, request: pb.ListJobEventsRequest, context: Any) -> pb.ListJobEventsResponse:
        """Return the next lines of a job's log."""
        job, lines, token = await self._jobs.log(
            current_user().user_id,
            request.job_id,
            after=request.after_sequence,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListJobEventsResponse(
            events=[event_message(each) for each in lines], next_page_token=token, job=job_message(job)
        )

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Stop a job."""
        return pb.CancelJobResponse(job=job_message(await self._jobs.cancel(current_user().user_id, request.job_id)))
