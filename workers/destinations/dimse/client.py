"""Settings and client of destination kind "dimse"."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from dicom.commitment import CommitmentReport
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.commitment_scu import request_commitment
from workers.destinations.dimse.query_scu import find, get
from workers.destinations.dimse.store_scu import send
from workers.destinations.dimse.verification_scu import echo
from workers.destinations.kind import (
    CommitmentLog,
    DestinationClient,
    DestinationSettings,
    FindResult,
    InstanceReference,
    RetrieveResult,
    SendOptions,
    SendOutcome,
)


class DimseSettings(DestinationSettings):
    """An application entity that accepts associations."""

    ae_title: Annotated[str, StringConstraints(min_length=1, max_length=16)]
    """Called AE title."""
    host: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    port: Annotated[int, Field(gt=0, lt=65536)]

    @property
    def address(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


@dataclass(frozen=True)
class DimseClient(DestinationClient):
    """C-STORE, C-ECHO, C-FIND, C-GET and storage commitment with one application entity."""

    requestor: AssociationRequestor

    @classmethod
    def connect(cls, settings: DimseSettings, options: SendOptions) -> Self:
        peer = Peer(settings.ae_title, settings.host, settings.port)
        return cls(
            AssociationRequestor(
                peer,
                options.calling_ae,
                options.connect_timeout_seconds,
                options.response_timeout_seconds,
            )
        )

    def test(self) -> None:
        echo(self.requestor)

    def send(self, paths: Sequence[Path]) -> list[SendOutcome]:
        return send(self.requestor, paths)

    def find(
        self, instances: Sequence[InstanceReference], *, wait_seconds: float
    ) -> dict[str, FindResult]:
        return find(self.requestor, instances, wait_seconds=wait_seconds)

    def retrieve(self, instances: Sequence[InstanceReference]) -> dict[str, RetrieveResult]:
        return get(self.requestor, instances)

    def request_commitment(
        self,
        requests: CommitmentLog,
        instances: Sequence[InstanceReference],
        *,
        wait_seconds: float,
    ) -> tuple[int | None, CommitmentReport | None]:
        return request_commitment(self.requestor, requests, instances, wait_seconds=wait_seconds)
