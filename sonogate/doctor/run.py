"""Runs the checks of an installation."""

from collections.abc import Callable, Iterable, Iterator

from db.errors import SettingsError
from sonogate.doctor import routing, services, storage
from sonogate.doctor.result import HealthCheckResult, fail
from sonogate.services import run_file
from sonogate.settings import Installation

CHECKS: dict[str, Callable[[Installation], Iterator[HealthCheckResult]]] = {
    "settings": storage.check_settings,
    "database": storage.check_database,
    "jobs": storage.check_jobs,
    "clock": storage.check_clock,
    "disk": storage.check_disk,
    "presets": storage.check_presets,
    "redis": services.check_redis,
    "listener": services.check_listener,
    "indexer": services.check_indexer,
    "web": services.check_web,
    "routes": routing.check_routes,
    "destinations": routing.check_destinations,
}


def run_checks(names: Iterable[str] = ()) -> Iterator[tuple[str, HealthCheckResult]]:
    """Run the named checks, by default all, and yield each result with the name of its check."""
    try:
        installation = Installation.load()
        if running := run_file.find_running(installation.cli.home):
            # `sonogate up` may have chosen ports
            installation = Installation.load(**running.settings)
    except SettingsError as error:
        yield "settings", fail(str(error), "correct the variable")
        return
    for name in tuple(names) or CHECKS:
        for result in CHECKS[name](installation):
            yield name, result
