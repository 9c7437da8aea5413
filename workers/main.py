"""A worker process."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from celery import Celery, signals
from sqlalchemy.exc import IntegrityError

from db import migrate
from db.engine import Database
from db.route_book import RouteBook
from db.schema import JobKind
from dicom.results.catalogue import parse_spec
from workers.errors import WorkError
from workers.peers.destinations import keep_in_step
from workers.queue.app import make_app
from workers.queue.broker import TASK, CeleryBroker
from workers.queue.runner import Runner, job_handlers
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.queue.sweep import Heartbeat, Loop, Sweep
from workers.services import LazyPredictor, Loader, Services, load_predictor
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

_BEATS_PER_LEASE: Final = 4
"""Three may be late before another worker takes the job."""
_SPARE_THREADS: Final = 1
"""Gives jobs back that arrive while every hand is busy. Without it they would wait here, even
with another worker idle.
"""
_TALKATIVE: Final = (
    "alembic",
    "highdicom",  # tells the UIDs of what it copies from
    "pynetdicom",  # tells every step of every association
    "celery.worker.strategy",  # a line for each message, where we have one for each job
    "celery.app.trace",
)


def run(settings: WorkerSettings, load: Loader = load_predictor) -> None:
    """JobHandler until SIGTERM or SIGINT, then finish what is running and return.

    Raises:
        SettingsError: the routes file is wrong.
        WorkError: the database is not at this version's schema.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    services = open_services(settings, load)
    app = make_app(settings)
    Worker(services, app).connect()
    app.worker_main(
        [
            "--quiet",  # no banner between the log lines
            "worker",
            "--pool=threads",  # TensorFlow must not be forked; deliveries wait for networks
            f"--concurrency={settings.worker_concurrency + _shadows(settings) + _SPARE_THREADS}",
            "--without-gossip",  # workers meet in rows, not in Redis
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
    services.database.close()


def open_services(settings: WorkerSettings, load: Loader = load_predictor) -> Services:
    """Everything a job may use, with the destinations' rows in step with the routes file.

    Raises as `run`.
    """
    routes = RouteBook(settings.effective_routes_file, parse_spec)
    database = Database(settings.effective_database_url)
    if not migrate.current(database.engine):
        raise WorkError("the database is not at this version: run `sonogate db upgrade`")
    try:
        with database.write() as session:
            keep_in_step(session, routes.current().destination)
    except IntegrityError:
        logger.info("another worker that starts just now has written the same destinations")
    store = settings.file_store()
    store.prepare()
    predictor = LazyPredictor(settings.preset_dir, load)
    beside = settings.shadow_preset_dir
    shadow = LazyPredictor(beside, load) if beside else None
    return Services(settings, database, store, predictor, routes, shadow)


@dataclass
class Worker:
    """The parts of a worker process, and how they hang on Celery's signals."""

    services: Services
    app: Celery

    def connect(self) -> None:
        settings = self.services.settings
        slots = ConcurrencySlots(
            settings.worker_concurrency, settings.worker_analyses, _shadows(settings)
        )
        held = ActiveLeases(settings.lease, timedelta(seconds=settings.job_timeout_seconds))
        kinds = job_handlers(self.services)
        sweep = Loop(
            "sweep",
            settings.sweep_seconds,
            Sweep(self.services, CeleryBroker(self.app), slots, kinds),
        )
        heartbeat = Loop(
            "heartbeat", settings.lease_seconds / _BEATS_PER_LEASE, Heartbeat(self.services, held)
        )
        self._add_task(Runner(self.services, kinds, slots, held), sweep.wake)
        _on(signals.setup_logging)  # somebody listens: so Celery leaves logging to the front door
        _on(signals.worker_ready, sweep.start, heartbeat.start, self._tell)
        _on(signals.worker_shutting_down, sweep.stop)  # nothing new; what runs is finished
        _on(signals.worker_shutdown, heartbeat.stop)

    def _tell(self) -> None:
        settings = self.services.settings
        logger.info(
            "the worker is ready: %d jobs at a time, %d analyses among them",
            settings.worker_concurrency,
            settings.worker_analyses,
        )

    def _add_task(self, runner: Runner, afterwards: Callable[[], None]) -> None:
        @self.app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery publishes no types
        def run_job(job_id: str, kind: str) -> None:
            runner.run(UUID(job_id), JobKind(kind))
            afterwards()  # what this job made due is rung for at once


def _shadows(settings: WorkerSettings) -> int:
    """Threads for the shadow preset: one, where there is one."""
    return int(settings.shadow_preset_dir is not None)


def _on(signal: signals.Signal, *actions: Callable[[], None]) -> None:
    def receive(**_: object) -> None:
        for action in actions:
            action()

    signal.connect(receive, weak=False)
