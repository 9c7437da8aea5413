"""Settings of the worker process."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from db.jobs import LEASE, REDISPATCH_AFTER
from db.settings import StoreSettings
from workers.destinations.kind import SendOptions

Seconds = Annotated[float, Field(gt=0)]


def _check_redis_url(url: str) -> str:
    # Celery would wait forever for a broker of another kind
    if url and not url.startswith(("redis://", "rediss://")):
        raise ValueError("should be redis://HOST:PORT/0, or rediss:// for TLS")
    return url


class WorkerSettings(StoreSettings):
    """Settings of one worker process. Several may share a database and a Redis server."""

    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = "redis://127.0.0.1:6379/0"
    """URL of the message broker. Redis needs no persistence: the database holds all jobs."""
    worker_concurrency: Annotated[int, Field(ge=2, le=64)] = 4
    """Number of jobs that a worker process runs at the same time, each in a thread."""
    worker_analysis_slots: Annotated[int, Field(ge=1)] = 2
    """Number of these threads that run analyses. It must be less than
    `SONOGATE_WORKER_CONCURRENCY`: the other threads run all other jobs, so that analyses and
    deliveries do not wait for each other."""
    max_cine_frames: Annotated[int, Field(ge=1, le=512)] = 32
    """Maximum number of frames to analyze in a cine, evenly spaced."""
    batch_size: Annotated[int, Field(ge=1, le=128)] = 8
    """Number of frames that the networks process at a time. A larger batch is faster and needs more
    memory."""
    preset_dir: Path | None = None
    """Directory of the active preset. If not set, the preset shipped with Sonogate."""
    shadow_preset_dir: Path | None = None
    """Directory of a shadow preset. It analyzes the same images after the results are published.
    Its output is stored for comparison (`sonogate shadow report`) and never becomes a result."""
    ae_title: Annotated[str, StringConstraints(min_length=1, max_length=16)] = "SONOGATE"
    """AE title of Sonogate, 1 to 16 characters, for the listener and for deliveries."""
    delivery_connect_timeout_seconds: Seconds = 10.0
    """Seconds to wait for a TCP connection to a destination, and then for the association."""
    delivery_response_timeout_seconds: Seconds = 60.0
    """Seconds to wait for the response to a C-STORE request."""
    sweep_interval_seconds: Seconds = 1.0
    """Seconds between two searches for due jobs."""
    lease_seconds: Seconds = LEASE.total_seconds()
    """Seconds without a heartbeat after which another worker takes over a running job."""
    redispatch_seconds: Seconds = REDISPATCH_AFTER.total_seconds()
    """Seconds after which a job that no worker claimed is dispatched again."""
    job_timeout_seconds: Seconds = 1800.0
    """Seconds after which a running job counts as hung: its lease is no longer extended."""

    @model_validator(mode="after")
    def _leave_a_slot_for_deliveries(self) -> Self:
        if self.worker_analysis_slots >= self.worker_concurrency:
            raise ValueError(
                "SONOGATE_WORKER_ANALYSIS_SLOTS must be less than SONOGATE_WORKER_CONCURRENCY"
            )
        return self

    @property
    def send_options(self) -> SendOptions:
        return SendOptions(
            self.ae_title,
            self.delivery_connect_timeout_seconds,
            self.delivery_response_timeout_seconds,
        )

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def redispatch_after(self) -> timedelta:
        return timedelta(seconds=self.redispatch_seconds)
