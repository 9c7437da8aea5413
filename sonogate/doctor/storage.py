"""Checks of the home directory, the database, the disk and the presets."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from db import migrate
from db.schema import AuditEvent, Job, JobStatus
from db.types import now_utc
from models.preset import preset_info
from models.types import ModelError
from sonogate.database import open_database
from sonogate.doctor.result import HealthCheckResult, fail, ok, warn
from sonogate.settings import Installation

CLOCK_TOLERANCE = timedelta(seconds=5)
DISK_WARNING_FACTOR = 2
"""Free space below this multiple of the watermark is a warning."""
GIGABYTE = 1e9
T = TypeVar("T")


def check_settings(installation: Installation) -> Iterator[HealthCheckResult]:
    """Show the home directory. Invalid settings are reported before any check runs."""
    yield ok(f"home directory is {installation.cli.home.absolute()}")


def check_database(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that the database answers and has this version's schema."""
    if not _database_exists(installation):
        yield fail("no database yet", "run `sonogate setup`")
        return
    try:
        with open_database(installation.cli) as database:
            current = migrate.is_current(database.engine)
    except SQLAlchemyError as error:
        # SQLAlchemy's own text may quote statement parameters
        driver_error = error.orig if isinstance(error, DBAPIError) else type(error).__name__
        reason = str(driver_error).partition("\n")[0]
        yield fail(
            f"cannot connect: {reason}", "start the database or correct SONOGATE_DATABASE_URL"
        )
        return
    if current:
        yield ok(f"{database.engine.name}, schema up to date")
    else:
        yield fail("schema out of date", "run `sonogate db upgrade`")


def check_jobs(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that the dead-letter queue is empty."""
    dead = _query(
        installation,
        select(func.count()).select_from(Job).where(Job.status == JobStatus.DEAD_LETTER),
    )
    if dead:
        yield warn(
            f"{dead} in the dead-letter queue",
            "open Administration in the web interface to see the errors and retry",
        )


def check_clock(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that no audit event lies in the future. The study history orders events by time."""
    newest = _query(installation, select(func.max(AuditEvent.at)))
    if newest is not None and newest > now_utc() + CLOCK_TOLERANCE:
        yield fail("system clock is behind the last audit event", "synchronize the clock by NTP")


def check_disk(installation: Installation) -> Iterator[HealthCheckResult]:
    """Compare the free space with the watermark below which the listener refuses images."""
    settings = installation.cli
    home = settings.home.absolute()
    existing = next(path for path in (home, *home.parents) if path.exists())
    free, watermark = shutil.disk_usage(existing).free, settings.min_free_bytes
    text = (
        f"{free / GIGABYTE:.1f} GB free;"
        f" the listener refuses images below {watermark / GIGABYTE:.1f} GB"
    )
    remedy = "free disk space or lower SONOGATE_MIN_FREE_BYTES"
    if free < watermark:
        yield fail(text, remedy)
    elif free < DISK_WARNING_FACTOR * watermark:
        yield warn(text, remedy)
    else:
        yield ok(text)


def check_presets(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check the digests of the active preset and of the shadow preset."""
    try:
        info = preset_info(installation.worker.preset_dir)
    except ModelError as error:
        yield fail(str(error), "correct SONOGATE_PRESET_DIR or reinstall Sonogate")
    else:
        yield ok(f"active: {info.name} {info.version}, digests match")
    shadow = installation.worker.shadow_preset_dir
    if not shadow:
        return
    try:
        info = preset_info(shadow)
    except ModelError as error:  # results do not depend on the shadow preset
        yield warn(f"shadow: {error}", "correct SONOGATE_SHADOW_PRESET_DIR")
    else:
        yield ok(f"shadow: {info.name} {info.version}, digests match")


def _database_exists(installation: Installation) -> bool:
    """Return False for a SQLite file that does not exist; connecting would create it."""
    url = make_url(installation.cli.effective_database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def _query(installation: Installation, statement: Select[T]) -> T | None:
    """Return a scalar, or None if the database fails, which `check_database` reports."""
    if not _database_exists(installation):
        return None
    try:
        with open_database(installation.cli) as database, database.read() as session:
            return session.scalar(statement)
    except SQLAlchemyError:
        return None
