"""The routes file: who may send, where results go, which study takes which way. Data, not code."""

import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Self

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
    """Calling AE title; "*" stands for any."""
    addresses: tuple[IPvAnyNetwork, ...] = LOOPBACK
    """Addresses or networks it may call from."""
    stable_after_seconds: Annotated[float, Field(gt=0, le=86400)] = 15.0
    """A study is taken as complete when nothing of it came for so long, in seconds."""

    def admits(self, ae_title: str, address: IPv4Address | IPv6Address) -> bool:
        return self.ae_title in (ANY_AE, ae_title) and any(
            address in network for network in self.addresses
        )


class DestinationTable(_Table):
    """A PACS that takes results by C-STORE."""

    name: Name
    ae_title: AeTitleText
    host: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    port: Annotated[int, Field(gt=0, lt=65536)]
    results: tuple[ResultText, ...] = ("seg", "sr")
    """Which result objects it wants, in the words of `dicom.results.catalogue`: "sr:enhanced"."""


class Route(_Table):
    """Studies that fit every condition given go to these destinations."""

    name: Name
    source_ae: tuple[AeTitleText, ...] = ()
    """Calling AE titles; empty: any."""
    description_contains: tuple[str, ...] = ()
    """Words of which the Study Description must hold one, in any case; empty: any."""
    destinations: tuple[Name, ...]

    def takes(self, source_ae: str, description: str) -> bool:
        by_source = not self.source_ae or source_ae in self.source_ae
        words = self.description_contains
        folded = description.casefold()
        return by_source and (not words or any(word.casefold() in folded for word in words))


def _names_once(tables: tuple[DestinationTable, ...]) -> tuple[DestinationTable, ...]:
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"destination {name!r} is given twice")
    return tables


class Routes(_Table):
    """The whole file. The first route that takes a study decides."""

    source: tuple[Source, ...] = (Source(ae_title=ANY_AE),)
    destination: Annotated[tuple[DestinationTable, ...], AfterValidator(_names_once)] = ()
    route: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        known = {table.name for table in self.destination}
        for route in self.route:
            for name in route.destinations:
                if name not in known:
                    raise ValueError(f"route {route.name!r} names no known destination: {name!r}")
        return self

    def source_for(self, ae_title: str, address: str) -> Source | None:
        """The first source that admits the caller; None: refuse it."""
        caller = _plain(address)
        return next((entry for entry in self.source if entry.admits(ae_title, caller)), None)

    def has_destination(self, ae_title: str) -> bool:
        """Whether results go to a node of this AE title."""
        return any(entry.ae_title == ae_title for entry in self.destination)

    def route_for(self, source_ae: str, description: str) -> Route | None:
        """The first route that takes the study; None: its results stay here."""
        return next((entry for entry in self.route if entry.takes(source_ae, description)), None)


def _plain(address: str) -> IPv4Address | IPv6Address:
    caller = ip_address(address)
    mapped = caller.ipv4_mapped if isinstance(caller, IPv6Address) else None
    return mapped or caller


CheckResult = Callable[[str], object]
"""Raises ValueError for a result that nobody can make, and says what there is."""


def load_routes(path: Path, check_result: CheckResult | None = None) -> Routes:
    """Read the routes file; one that does not exist means: loopback may send, nothing leaves.

    `check_result` looks at each result that a destination wants; without it any text will do,
    for those who only receive.

    Raises:
        SettingsError: names the file and the key that is wrong.
    """
    routes = _read(path) if path.exists() else Routes()
    if check_result:
        for table in routes.destination:
            _check_results(path, table, check_result)
    return routes


def _check_results(path: Path, table: DestinationTable, check_result: CheckResult) -> None:
    for text in table.results:
        try:
            check_result(text)
        except ValueError as error:
            raise SettingsError(f"{path}: destination {table.name!r}: {error}") from None


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
        raise SettingsError(_explain(path, error)) from None


def _explain(path: Path, error: ValidationError) -> str:
    problems = (
        f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
        for item in error.errors()
    )
    return f"{path}: " + "; ".join(problems)
