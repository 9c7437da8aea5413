"""Checks of Redis, the listener and the web interface."""

import http.client
from collections.abc import Iterator

from redis import Redis, RedisError

from db.incoming import measure_backlog
from db.routes import ANY_AE, Routes
from db.types import now_utc
from listener.index_service import is_running
from sonogate.doctor import network
from sonogate.doctor.result import HealthCheckResult, fail, ok, warn
from sonogate.doctor.routing import load_routes_or_default
from sonogate.errors import RedisServerNotFound
from sonogate.services import bundled_redis
from sonogate.services.ports import LOOPBACK, connectable_host, is_listening
from sonogate.settings import Installation
from workers.destinations.dimse.association import Peer
from workers.errors import PeerError


def check_redis(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that Redis answers PING."""
    url, timeout = installation.worker.redis_url, network.TIMEOUT_SECONDS
    try:
        with Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout) as client:
            client.ping()
    except (RedisError, OSError, ValueError):
        yield _redis_unavailable(configured_url=installation.cli.redis_url)
    else:
        yield ok("answers PING")


def _redis_unavailable(*, configured_url: str) -> HealthCheckResult:
    if configured_url:
        return fail("does not answer", "start Redis or correct SONOGATE_REDIS_URL")
    try:
        bundled_redis.find_server()
    except RedisServerNotFound as error:
        return fail("not running and not installed", str(error))
    return warn("not running", "run `sonogate up` or set SONOGATE_REDIS_URL")


def check_listener(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that the listener answers C-ECHO, or that its port is open if that is not possible."""
    settings = installation.listener
    peer = Peer(settings.ae_title, connectable_host(settings.dicom_host), settings.dicom_port)
    if not is_listening(peer.port, peer.host):
        yield warn(f"port {peer.port} is closed", "run `sonogate up` or `sonogate listener`")
        return
    calling_ae = _local_calling_ae(load_routes_or_default(installation))
    if settings.dicom_tls_certificate or calling_ae is None:
        # An association that the routes file does not admit would add an audit event each time.
        yield ok(f"port {peer.port} accepts connections")
        return
    try:
        network.send_echo(peer, calling_ae=calling_ae)
    except PeerError:
        yield fail(
            f"port {peer.port} is used by a program that is not a Sonogate listener",
            "stop it or set SONOGATE_DICOM_PORT to a free port",
        )
    else:
        yield ok(f"{peer.ae_title} answers C-ECHO on port {peer.port}")


def _local_calling_ae(routes: Routes) -> str | None:
    """Return a calling AE title that the routes file admits from this machine."""
    for source in routes.source:
        ae_title = "DOCTOR" if source.ae_title == ANY_AE else source.ae_title
        if routes.source_for(ae_title, LOOPBACK) is not None:
            return ae_title
    return None


def check_indexer(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that an indexer works and how many files wait for it."""
    files, limit = installation.cli.file_store(), installation.cli.backlog_warning_files
    try:
        backlog = measure_backlog(files)
        running = is_running(files)
    except OSError as error:
        yield fail(f"the file store cannot be read: {error.strerror}", "repair the disk")
        return
    text = backlog.describe(now_utc())
    if not running:
        yield warn(f"not running, {text}", "run `sonogate up` or `sonogate indexer`")
    elif backlog.files >= limit:
        yield warn(f"running, but {text}", "check the database and the log of the indexer")
    else:
        yield ok(f"running, {text}")


def check_web(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that the web interface answers its health check."""
    settings = installation.web
    host, port = connectable_host(settings.web_host), settings.web_port
    if not is_listening(port, host):
        yield warn(f"port {port} is closed", "run `sonogate up` or `sonogate web`")
    elif _is_healthy(host, port):
        yield ok(f"answers on port {port}")
    else:
        yield fail(
            f"port {port} is used by a program that is not a healthy Sonogate web interface",
            "stop it or set SONOGATE_WEB_PORT to a free port",
        )


def _is_healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=network.TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
