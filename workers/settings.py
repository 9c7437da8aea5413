"""What a worker can be told."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from db.jobs import LEASE, REDISPATCH_AFTER
from db.settings import StoreSettings

Seconds = Annotated[float, Field(gt=0)]


def _redis_url(url: str) -> str:
    # Celery would wait for ever for a broker that cannot be
    if url and not url.startswith(("redis://", "rediss://")):
        raise ValueError("should be redis://HOST:PORT/0, or rediss:// for TLS")
    return url


class WorkerSettings(StoreSettings):
    """Settings of one worker process; any number of them may share a database and a Redis."""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = "redis://127.0.0.1:6379/0"
    """Celery's broker. It may lose everything: what is to be done stands in the database."""
    worker_concurrency: Annotated[int, Field(ge=2, le=64)] = 4
    """Jobs that run side by side in this process, as threads."""
    worker_analyses: Annotated[int, Field(ge=1)] = 2
    """How many of them may be analyses, so that deliveries never wait behind analyses and an
    absent PACS never keeps the analyses waiting. Fewer than SONOGATE_WORKER_CONCURRENCY."""
    cine_frames: Annotated[int, Field(ge=1, le=512)] = 32
    """Frames of a cine that are analyzed at most, evenly spread over it."""
    batch_size: Annotated[int, Field(ge=1, le=128)] = 8
    """Frames that go through the networks together: more is faster and takes more memory."""
    preset_dir: Path | None = None
    """Directory of a preset (trained networks); unset: the one shipped with Sonogate."""
    shadow_preset_dir: Path | None = None
    """Directory of a second preset that looks at the same images once the results are made. What
    it says is kept to be compared (`sonogate shadow report`), and never becomes a result."""
    ae_title: Annotated[str, StringConstraints(min_length=1, max_length=16)] = "SONOGATE"
    """Our AE title: what a PACS sees as the caller when results are delivered."""
    delivery_connect_seconds: Seconds = 10.0
    """How long a PACS may take to accept a TCP connection, and then an association, in seconds."""
    delivery_answer_seconds: Seconds = 60.0
    """How long a PACS may take to answer one C-STORE, in seconds."""
    sweep_seconds: Seconds = 1.0
    """How often each worker looks for jobs that are due, in seconds."""
    lease_seconds: Seconds = LEASE.total_seconds()
    """A job whose worker gave no sign of life for so long goes to another one, in seconds."""
    redispatch_seconds: Seconds = REDISPATCH_AFTER.total_seconds()
    """A job that nobody took so long after it was announced is announced again, in seconds."""
    job_timeout_seconds: Seconds = 1800.0
    """After so long a job counts as hung: its worker no longer holds it, in seconds."""

    @model_validator(mode="after")
    def _a_hand_stays_free(self) -> Self:
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
