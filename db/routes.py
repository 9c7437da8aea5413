"""The routes file: senders, destinations, and the route of each study."""

import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    StringConstraints,
    ValidationError,
    model_validator,
)

from db.errors import SettingsError

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ANY_AE = "*"

AeTitleText = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
ResultText = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.-]+$")]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, str_strip_whitespace=True
    )


class Source(_Table):
    """A sender that may open associations."""

    ae_title: AeTitleText
    """Calling AE title; "*" matches any."""
    addresses: tuple[IPvAnyNetwork, ...] = LOOPBACK
    """Addresses or networks that it may connect from."""
    certificate_subject: str = ""
    """Subject of its TLS client certificate, as `openssl x509 -subject -nameopt RFC2253` prints it;
    empty admits any."""
    stable_after_seconds: Annotated[float, Field(gt=0, le=86400)] = 15.0
    """A study is analyzed when none of its instances arrived for this long, in seconds."""

    def admits(
        self, ae_title: str, address: IPv4Address | IPv6Address, certificate_subject: str
    ) -> bool:
        return (
            self.ae_title in (ANY_AE, ae_title)
            and any(address in network for network in self.addresses)
            and self.certificate_subject in ("", certificate_subject)
        )


class DestinationTable(_Table):
    """A destination of results."""

    model_config = ConfigDict(extra="allow")  # `settings`

    name: Name
    kind: Name = "dimse"
    """A kind of `workers.destinations.registry`."""
    profile: Name | None = None
    """The name of the results that it receives, from `dicom.results.profiles`. Without `profile` and
    `results`, the default profile applies."""
    results: tuple[ResultText, ...] | None = None
    """Instead of a profile, the results that it receives, as specs of `dicom.results.catalogue`:
    "sr:enhanced"."""

    @property
    def settings(self) -> dict[str, Any]:
        """The other keys, which belong to the kind. They are checked by `CheckDestination`."""
        return dict(self.model_extra or {})


class Route(_Table):
    """Sends the results of studies that meet all its conditions to its destinations.

    A condition is a field that is empty by default, and a line in `matches`.
    """

    name: Name
    source_ae: tuple[AeTitleText, ...] = ()
    """Calling AE titles; empty matches any."""
    description_contains: tuple[str, ...] = ()
    """Words of which the Study Description contains at least one, ignoring case; empty matches
    any."""
    destinations: tuple[Name, ...]

    def matches(self, source_ae: str, description: str) -> bool:
        """Return whether a study meets every condition."""
        if self.source_ae and source_ae not in self.source_ae:
            return False
        folded = description.casefold()
        words = [word.casefold() for word in self.description_contains]
        return not words or any(word in folded for word in words)


def _check_unique_names(tables: tuple[DestinationTable, ...]) -> tuple[DestinationTable, ...]:
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"destination {name!r} is defined twice")
    return tables


class Routes(_Table):
    """The whole file. The first route that matches a study is used."""

    source: tuple[Source, ...] = (Source(ae_title=ANY_AE),)
    destination: Annotated[tuple[DestinationTable, ...], AfterValidator(_check_unique_names)] = ()
    route: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _check_destinations_of_routes(self) -> Self:
        known = {table.name for table in self.destination}
        for route in self.route:
            for name in route.destinations:
                if name not in known:
                    raise ValueError(f"route {route.name!r} has an unknown destination: {name!r}")
        return self

    def source_for(
        self, ae_title: str, address: str, certificate_subject: str = ""
    ) -> Source | None:
        """Return the first source that admits the caller; None if it must be refused.

        Args:
            certificate_subject: of the caller's TLS certificate; empty if it presented none.
        """
        ip = ip_address(address)
        if isinstance(ip, IPv6Address):
            ip = ip.ipv4_mapped or ip
        return next(
            (source for source in self.source if source.admits(ae_title, ip, certificate_subject)),
            None,
        )

    def route_for(self, source_ae: str, description: str) -> Route | None:
        """Return the first route that matches the study; None if its results are not sent."""
        return next((route for route in self.route if route.matches(source_ae, description)), None)


CheckDestination = Callable[[DestinationTable], object]
"""Raises ValueError for a destination with an unknown kind, setting or result."""


def load_routes(path: Path, check_destination: CheckDestination | None = None) -> Routes:
    """Read the routes file. Without a file, only this machine may send, and no result is sent.

    Kinds and results are checked by `check_destination`: this package does not know them. Without
    it they are not checked, which suits a service that only receives.

    Raises:
        SettingsError: names the file, the destination if it is one, and the key.
    """
    routes = _read(path) if path.exists() else Routes()
    if check_destination:
        for table in routes.destination:
            try:
                check_destination(table)
            except ValueError as error:
                problem = f"destination {table.name!r}: {_describe(error)}"
                raise SettingsError(f"{path}: {problem}") from None
    return routes


def _read(path: Path) -> Routes:
    try:
        return Routes.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {_describe(error)}") from None


def _describe(error: ValueError) -> str:
    """Return what is wrong; for an error of pydantic, every key with its problem."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
        for item in error.errors()
    )
