"""Checks of the routes file and of the destinations that it names."""

from collections.abc import Iterator

from db.errors import SettingsError
from db.routes import Routes, load_routes
from sonogate.doctor.network import TIMEOUT_SECONDS
from sonogate.doctor.result import HealthCheckResult, fail, ok, warn
from sonogate.settings import Installation
from workers.destinations.kind import SendOptions
from workers.destinations.registry import check_destination, describe_address, find_kind
from workers.errors import PeerError


def load_routes_or_default(installation: Installation) -> Routes:
    """Return the routes, or the default ones if the file is invalid, which `check_routes` reports."""
    try:
        return load_routes(installation.listener.effective_routes_file)
    except SettingsError:
        return Routes()


def check_routes(installation: Installation) -> Iterator[HealthCheckResult]:
    """Check that the routes file is valid and has routes."""
    path = installation.listener.effective_routes_file
    try:
        routes = load_routes(path, check_destination)
    except SettingsError as error:
        yield fail(str(error), "correct the file and run `sonogate routes check`")
        return
    if not path.exists():
        yield warn(
            f"{path} does not exist",
            "create it; without it only this machine may send, and no results are sent",
        )
    elif not routes.route:
        yield warn(f"{path} has no routes", "add a route; without one no results are sent")
    else:
        yield ok(f"{len(routes.source)} sources, {len(routes.route)} routes")


def check_destinations(installation: Installation) -> Iterator[HealthCheckResult]:
    """Test the connection to each destination."""
    options = SendOptions(installation.worker.ae_title, TIMEOUT_SECONDS, TIMEOUT_SECONDS)
    for destination in load_routes_or_default(installation).destination:
        try:
            find_kind(destination.kind).open_client(destination.settings, options).test()
            address = describe_address(destination)
        except ValueError:
            yield fail(f"{destination.name}: invalid settings", "correct the routes file")
        except PeerError as error:
            yield fail(
                f"{destination.name}: {error}",
                "deliveries are retried; they resume when the destination answers",
            )
        else:
            yield ok(f"{destination.name}: {address} answers")
