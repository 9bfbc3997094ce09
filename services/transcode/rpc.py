"""The transcode contract."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from reelmesh.transcode.v1 import transcode_pb2, transcode_service_pb2_grpc
from reelmesh.transcode.v1 import transcode_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.transcode import store
from services.transcode.domain import Job, JobState
from services.transcode.jobs import Jobs

Context = grpc.aio.ServicerContext[Any, Any]


class TranscodeRpc(transcode_service_pb2_grpc.TranscodeServiceServicer):
    """Answers about jobs of the caller's organisation, and stops them."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def GetJob(self, request: api.GetJobRequest, context: Context) -> api.GetJobResponse:
        """Returns one job."""
        async with self._database.transaction() as tx:
            job = await store.get_job(tx, current_call().organisation_id, request.job_id)
            fractions = await store.fractions(tx, [job.job_id])
        return api.GetJobResponse(job=resource(job, fractions))

    async def ListJobs(self, request: api.ListJobsRequest, context: Context) -> api.ListJobsResponse:
        """Returns a page of jobs, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.asset_id, part)
            shown = found[: part.size]
            fractions = await store.fractions(tx, [job.job_id for job in shown])
        return api.ListJobsResponse(
            jobs=[resource(job, fractions) for job in shown],
            next_page_token=part.next_token(shown[-1].job_id) if len(found) > part.size else "",
        )

    async def CancelJob(self, request: api.CancelJobRequest, context: Context) -> api.CancelJobResponse:
        """Stops a job."""
        async with self._database.transaction() as tx:
            job = await store.get_job(tx, current_call().organisation_id, request.job_id, for_update=True)
            job = await self._jobs.cancel(tx, job)
            fractions = await store.fractions(tx, [job.job_id])
        return api.CancelJobResponse(job=resource(job, fractions))


def resource(job: Job, fractions: dict[str, float]) -> transcode_pb2.Job:
    """A job as the contract shows it."""
    return transcode_pb2.Job(
        job_id=job.job_id,
        asset_id=job.asset_id,
        organisation_id=job.organisation_id,
        state=transcode_pb2.JobState.ValueType(job.state),
        fraction=1.0 if job.state is JobState.COMPLETED else fractions.get(job.job_id, 0.0),
        renditions=[
            ParseDict(rendition, transcode_pb2.Rendition(), ignore_unknown_fields=True) for rendition in job.renditions
        ],
        failure_reason=job.failure_reason,
        failure_message=job.failure_message,
        create_time=timestamp(job.create_time),
        end_time=timestamp(job.end_time),
    )
