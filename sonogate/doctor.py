"""What `sonogate doctor` looks at: each check says what is, and what to do when it is not well."""

import enum
import http.client
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from redis import Redis, RedisError
from sqlalchemy import Select, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from db.errors import SettingsError
from db.routes import ANY_AE, DestinationTable, Routes, load_routes
from db.schema import AuditEvent, Job, JobStatus
from db.types import now_utc
from dicom.results.catalogue import parse_spec
from models.preset import preset_info
from models.types import ModelError
from sonogate.database import opened
from sonogate.errors import NoRedisServer
from sonogate.services import bundled_redis, run_file
from sonogate.services.ports import LOOPBACK, listens, reachable
from sonogate.settings import Installation
from workers.errors import PeerError
from workers.peers.store_scu import Peer, echo

PATIENCE_S = 5.0
CLOCK_TOLERANCE = timedelta(seconds=5)
ROOM_TO_SPARE = 2
"""Below so many times the watermark the disk deserves a look."""
GIGABYTE = 1e9
T = TypeVar("T")


class Status(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Outcome:
    """What a check found; ``remedy`` is empty when all is well."""

    status: Status
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """An outcome with the name of its check."""

    name: str
    status: Status
    message: str
    remedy: str = ""


def examine(names: Iterable[str] = ()) -> Iterator[Finding]:
    """Yield what the checks of these names find, of all when there are none, one by one."""
    try:
        installation = _as_it_runs()
    except SettingsError as error:
        yield Finding("settings", Status.FAIL, str(error), "correct the variable")
        return
    for name in tuple(names) or CHECKS:
        for outcome in CHECKS[name](installation):
            yield Finding(name, outcome.status, outcome.message, outcome.remedy)


def _as_it_runs() -> Installation:
    """The settings in force: `sonogate up` may have chosen a port, and chooses that of its Redis."""
    installation = Installation.load()
    running = run_file.find(installation.front.home)
    return Installation.load(**running.settings) if running else installation


def ok(message: str) -> Outcome:
    return Outcome(Status.OK, message)


def warn(message: str, remedy: str) -> Outcome:
    return Outcome(Status.WARN, message, remedy)


def fail(message: str, remedy: str) -> Outcome:
    return Outcome(Status.FAIL, message, remedy)


def _settings(installation: Installation) -> Iterator[Outcome]:
    yield ok(f"home is {installation.front.home.absolute()}")


# ------------------------------------------------------------------------------ state


def _database(installation: Installation) -> Iterator[Outcome]:
    if not _is_there(installation):
        yield fail("there is none yet", "run `sonogate setup`")
        return
    try:
        with opened(installation.front) as database:
            current = migrate.is_current(database.engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        yield fail(f"does not answer: {reason}", "start it, or correct SONOGATE_DATABASE_URL")
        return
    if current:
        yield ok(f"{database.engine.name}, at this version's schema")
    else:
        yield fail("not at this version's schema", "run `sonogate db upgrade`")


def _is_there(installation: Installation) -> bool:
    """Asking a SQLite file that does not exist would make it."""
    url = make_url(installation.front.effective_database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def _jobs(installation: Installation) -> Iterator[Outcome]:
    dead = _asked(
        installation,
        select(func.count()).select_from(Job).where(Job.status == JobStatus.DEAD_LETTER),
    )
    if dead:
        yield warn(f"{dead} were given up", "see Administration in the web pages")


def _clock(installation: Installation) -> Iterator[Outcome]:
    """Events order the story of a study: a clock that went back tells it wrong."""
    newest = _asked(installation, select(func.max(AuditEvent.at)))
    if newest is not None and newest > now_utc() + CLOCK_TOLERANCE:
        yield fail("this machine's clock is behind the last audit event", "set the clock by NTP")


def _asked(installation: Installation, question: Select[T]) -> T | None:
    """The answer of the database; None when it has none, or is not well, which its check tells."""
    if not _is_there(installation):
        return None
    try:
        with opened(installation.front) as database, database.read() as session:
            return session.scalar(question)
    except SQLAlchemyError:
        return None


def _disk(installation: Installation) -> Iterator[Outcome]:
    settings = installation.front
    home = settings.home.absolute()
    there = next(path for path in (home, *home.parents) if path.exists())
    free, watermark = shutil.disk_usage(there).free, settings.min_free_bytes
    text = f"{free / GIGABYTE:.1f} GB free, receiving pauses below {watermark / GIGABYTE:.1f} GB"
    remedy = "free some space, or lower SONOGATE_MIN_FREE_BYTES"
    if free < watermark:
        yield fail(text, remedy)
    elif free < ROOM_TO_SPARE * watermark:
        yield warn(text, remedy)
    else:
        yield ok(text)


def _presets(installation: Installation) -> Iterator[Outcome]:
    try:
        info = preset_info(installation.worker.preset_dir)
    except ModelError as error:
        yield fail(str(error), "check SONOGATE_PRESET_DIR, or reinstall Sonogate")
    else:
        yield ok(f"{info.name} {info.version}, weights match their digests")
    if shadow := installation.worker.shadow_preset_dir:
        yield _shadow_preset(shadow)


def _shadow_preset(directory: Path) -> Outcome:
    """No result depends on it."""
    try:
        info = preset_info(directory)
    except ModelError as error:
        return warn(f"the shadow preset: {error}", "check SONOGATE_SHADOW_PRESET_DIR")
    return ok(f"the shadow preset is {info.name} {info.version}, weights match their digests")


# ------------------------------------------------------------------------------ services


def _redis(installation: Installation) -> Iterator[Outcome]:
    url = installation.worker.redis_url
    try:
        with Redis.from_url(
            url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
        ) as it:
            it.ping()
    except (RedisError, OSError, ValueError):
        yield _absent_redis(installation.front.redis_url)
    else:
        yield ok("answers PING")


def _absent_redis(configured: str) -> Outcome:
    if configured:
        return fail("does not answer", "start it, or correct SONOGATE_REDIS_URL")
    try:
        bundled_redis.find_server()
    except NoRedisServer as error:
        return fail("none is running, and none is installed", str(error))
    return warn("none is running", "`sonogate up` brings its own; else set SONOGATE_REDIS_URL")


def _listener(installation: Installation) -> Iterator[Outcome]:
    settings = installation.listener
    peer = Peer(settings.ae_title, reachable(settings.dicom_host), settings.dicom_port)
    if not listens(peer.port, peer.host):
        yield warn(
            f"nothing listens on port {peer.port}", "run `sonogate up` or `sonogate listener`"
        )
        return
    caller = _admitted_here(_routes_or_default(installation))
    if settings.dicom_tls_certificate or caller is None:
        # A call that the routes file refuses would be an event of the audit chain, each time.
        yield ok(f"port {peer.port} accepts connections")
        return
    try:
        _echo(peer, caller)
    except PeerError:
        remedy = "stop it, or set SONOGATE_DICOM_PORT to a free port"
        yield fail(f"port {peer.port} is taken by a program that is no Sonogate listener", remedy)
    else:
        yield ok(f"{peer.ae_title} answers C-ECHO on port {peer.port}")


def _admitted_here(routes: Routes) -> str | None:
    """A calling AE title that may call from this machine."""
    for source in routes.source:
        title = "DOCTOR" if source.ae_title == ANY_AE else source.ae_title
        if routes.source_for(title, LOOPBACK) is not None:
            return title
    return None


def _web(installation: Installation) -> Iterator[Outcome]:
    settings = installation.web
    host, port = reachable(settings.web_host), settings.web_port
    if not listens(port, host):
        yield warn(f"nothing listens on port {port}", "run `sonogate up` or `sonogate web`")
    elif _is_healthy(host, port):
        yield ok(f"answers on port {port}")
    else:
        remedy = "stop it, or set SONOGATE_WEB_PORT to a free port"
        yield fail(f"port {port} is taken by a program that is no healthy Sonogate", remedy)


def _is_healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# ------------------------------------------------------------------------------ peers


def _routes(installation: Installation) -> Iterator[Outcome]:
    path = installation.listener.effective_routes_file
    try:
        routes = load_routes(path, parse_spec)
    except SettingsError as error:
        yield fail(str(error), "correct the file; `sonogate routes check` explains it")
        return
    if not path.exists():
        yield warn(f"{path} is not there", "only this machine may send, and no result leaves")
    elif not routes.route:
        yield warn(f"{path} has no route", "no result leaves until it has one")
    else:
        yield ok(f"{len(routes.source)} sources, {len(routes.route)} routes")


def _destinations(installation: Installation) -> Iterator[Outcome]:
    for entry in _routes_or_default(installation).destination:
        yield _destination(entry, installation.worker.ae_title)


def _destination(entry: DestinationTable, calling_ae: str) -> Outcome:
    try:
        _echo(Peer(entry.ae_title, entry.host, entry.port), calling_ae)
    except PeerError as error:
        return fail(f"{entry.name}: {error}", "results wait and are sent once it answers")
    return ok(f"{entry.name}: {entry.ae_title} answers C-ECHO")


def _routes_or_default(installation: Installation) -> Routes:
    try:
        return load_routes(installation.listener.effective_routes_file)
    except SettingsError:  # the check of the file itself tells
        return Routes()


def _echo(peer: Peer, calling_ae: str) -> None:
    echo(peer, calling_ae=calling_ae, connect_seconds=PATIENCE_S, answer_seconds=PATIENCE_S)


CHECKS: dict[str, Callable[[Installation], Iterator[Outcome]]] = {
    "settings": _settings,
    "database": _database,
    "jobs": _jobs,
    "clock": _clock,
    "disk": _disk,
    "presets": _presets,
    "redis": _redis,
    "listener": _listener,
    "web": _web,
    "routes": _routes,
    "destinations": _destinations,
}
