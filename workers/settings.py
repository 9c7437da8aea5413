"""Settings of the worker process."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from db.jobs import LEASE, REDISPATCH_AFTER
from db.settings import StoreSettings

Seconds = Annotated[float, Field(gt=0)]


def _check_redis_url(url: str) -> str:
    # Celery would wait forever for a broker of another kind
    if url and not url.startswith(("redis://", "rediss://")):
        raise ValueError("should be redis://HOST:PORT/0, or rediss:// for TLS")
    return url


class WorkerSettings(StoreSettings):
    """Settings of one worker process. Several may share a database and a Redis server."""

    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = "redis://127.0.0.1:6379/0"
    """Celery's broker. No job is lost with it: jobs are rows of the database."""
    worker_concurrency: Annotated[int, Field(ge=2, le=64)] = 4
    """Jobs that run at the same time in this process, as threads."""
    worker_analyses: Annotated[int, Field(ge=1)] = 2
    """How many of them may be analyses. Must be less than SONOGATE_WORKER_CONCURRENCY, so that
    deliveries never wait for analyses and an unreachable PACS never delays analyses."""
    cine_frames: Annotated[int, Field(ge=1, le=512)] = 32
    """Maximum number of frames of a cine that are analyzed, evenly spaced."""
    batch_size: Annotated[int, Field(ge=1, le=128)] = 8
    """Frames per batch of the networks. Larger batches are faster and need more memory."""
    preset_dir: Path | None = None
    """Directory of a preset (trained networks). Default: the preset shipped with Sonogate."""
    shadow_preset_dir: Path | None = None
    """Directory of a second preset that analyzes the same images after the results are produced.
    Its output is stored for comparison only (`sonogate shadow report`)."""
    ae_title: Annotated[str, StringConstraints(min_length=1, max_length=16)] = "SONOGATE"
    """Sonogate's AE title: the calling AE title of deliveries."""
    delivery_connect_seconds: Seconds = 10.0
    """Timeout for a TCP connection, and then for the association, in seconds."""
    delivery_answer_seconds: Seconds = 60.0
    """Timeout for the response to one C-STORE request, in seconds."""
    sweep_seconds: Seconds = 1.0
    """Interval at which each worker looks for jobs that are due, in seconds."""
    lease_seconds: Seconds = LEASE.total_seconds()
    """Time without a heartbeat after which a job goes to another worker, in seconds."""
    redispatch_seconds: Seconds = REDISPATCH_AFTER.total_seconds()
    """Time after which a job that no worker claimed is dispatched again, in seconds."""
    job_timeout_seconds: Seconds = 1800.0
    """Time after which a running job counts as hung and its lease is no longer extended, in
    seconds."""

    @model_validator(mode="after")
    def _leave_a_slot_for_deliveries(self) -> Self:
        if self.worker_analyses >= self.worker_concurrency:
            raise ValueError(
                "SONOGATE_WORKER_ANALYSES must be less than SONOGATE_WORKER_CONCURRENCY"
            )
        return self

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def redispatch_after(self) -> timedelta:
        return timedelta(seconds=self.redispatch_seconds)
