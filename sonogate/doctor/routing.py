"""Checks of the routes file and of the destinations that it names."""

from collections.abc import Iterator

from db.errors import SettingsError
from db.routes import Routes, load_routes
from dicom.results.catalogue import parse_spec
from sonogate.doctor.network import send_echo
from sonogate.doctor.result import HealthCheckResult, fail, ok, warn
from sonogate.settings import Installation
from workers.errors import PeerError
from workers.peers.store_scu import Peer


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
        routes = load_routes(path, parse_spec)
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
    """Check that each destination answers C-ECHO."""
    for destination in load_routes_or_default(installation).destination:
        peer = Peer(destination.ae_title, destination.host, destination.port)
        try:
            send_echo(peer, calling_ae=installation.worker.ae_title)
        except PeerError as error:
            yield fail(
                f"{destination.name}: {error}",
                "deliveries are retried; they resume when the destination answers",
            )
        else:
            yield ok(f"{destination.name}: {peer.ae_title} answers C-ECHO")
