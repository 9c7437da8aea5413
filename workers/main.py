"""The worker process."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from celery import Celery, signals
from sqlalchemy.exc import IntegrityError

from db import migrate
from db.engine import Database
from db.routes_file import RoutesFile
from db.schema import JobKind
from workers.destinations.registry import check_destination
from workers.destinations.rows import sync_destinations
from workers.errors import WorkError
from workers.queue.app import make_app
from workers.queue.broker import RUN_JOB_TASK, CeleryBroker
from workers.queue.runner import JobRunner, job_handlers
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.queue.sweep import Heartbeat, PeriodicThread, Sweep
from workers.services import LazyPredictor, PredictorLoader, WorkerServices, load_predictor
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

_HEARTBEATS_PER_LEASE: Final = 4
_SPARE_THREADS: Final = 1
"""Returns jobs to the queue that arrive while every slot is occupied. Without it they would wait
here, even if another worker is idle.
"""
_VERBOSE_LOGGERS: Final = (
    "alembic",
    "highdicom",  # logs UIDs of the objects that it reads
    "pynetdicom",  # logs every step of every association
    "celery.worker.strategy",  # logs each message; we log each job
    "celery.app.trace",
)


def run(settings: WorkerSettings, load: PredictorLoader = load_predictor) -> None:
    """Run jobs until SIGTERM or SIGINT, then finish the running ones and return.

    Raises:
        SettingsError: the routes file is invalid.
        WorkError: the database schema is not the one of this version.
    """
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    services = open_services(settings, load)
    app = make_app(settings)
    connect_worker(services, app)
    threads = settings.worker_concurrency + _shadow_threads(settings) + _SPARE_THREADS
    app.worker_main(
        [
            "--quiet",  # no banner between the log lines
            "worker",
            "--pool=threads",  # TensorFlow must not be forked; deliveries wait for networks
            f"--concurrency={threads}",
            "--without-gossip",  # workers share the database, not Redis
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
    services.database.close()


def open_services(
    settings: WorkerSettings, load: PredictorLoader = load_predictor
) -> WorkerServices:
    """Open what jobs use, and write the destinations of the routes file to the database.

    Raises the errors of `run`.
    """
    routes = RoutesFile(settings.effective_routes_file, check_destination)
    database = Database(settings.effective_database_url)
    if not migrate.is_current(database.engine):
        raise WorkError(
            "the database schema is not the one of this version: run `sonogate db upgrade`"
        )
    try:
        with database.write() as session:
            sync_destinations(session, routes.current().destination)
    except IntegrityError:
        logger.info("another worker has just written the same destinations")
    store = settings.file_store()
    store.prepare()
    shadow_dir = settings.shadow_preset_dir
    return WorkerServices(
        settings,
        database,
        store,
        LazyPredictor(settings.preset_dir, load),
        routes,
        LazyPredictor(shadow_dir, load) if shadow_dir else None,
    )


def connect_worker(services: WorkerServices, app: Celery) -> None:
    """Register the task that runs a job, and connect sweep and heartbeat to Celery's signals."""
    settings = services.settings
    slots = ConcurrencySlots(
        settings.worker_concurrency, settings.worker_analysis_slots, _shadow_threads(settings)
    )
    leases = ActiveLeases(settings.lease, timedelta(seconds=settings.job_timeout_seconds))
    handlers = job_handlers(services)
    runner = JobRunner(services, handlers, slots, leases)
    sweep = PeriodicThread(
        "sweep",
        settings.sweep_interval_seconds,
        Sweep(services, CeleryBroker(app), slots, handlers),
    )
    heartbeat = PeriodicThread(
        "heartbeat", settings.lease_seconds / _HEARTBEATS_PER_LEASE, Heartbeat(services, leases)
    )

    @app.task(name=RUN_JOB_TASK)  # type: ignore[untyped-decorator]  # Celery publishes no types
    def run_job(job_id: str, kind: str) -> None:
        runner.run(UUID(job_id), JobKind(kind))
        sweep.wake()  # dispatch at once the jobs that this one queued

    def log_ready() -> None:
        logger.info(
            "worker ready: %d jobs at a time, of these up to %d analyses",
            settings.worker_concurrency,
            settings.worker_analysis_slots,
        )

    _on(signals.setup_logging)  # with a receiver, Celery leaves logging as the command set it up
    _on(signals.worker_ready, sweep.start, heartbeat.start, log_ready)
    _on(signals.worker_shutting_down, sweep.stop)  # running jobs are finished
    _on(signals.worker_shutdown, heartbeat.stop)


def _shadow_threads(settings: WorkerSettings) -> int:
    return 1 if settings.shadow_preset_dir else 0


def _on(signal: signals.Signal, *actions: Callable[[], None]) -> None:
    def receive(**_: object) -> None:
        for action in actions:
            action()

    signal.connect(receive, weak=False)
