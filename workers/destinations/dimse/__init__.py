"""Destination kind "dimse": C-STORE to an application entity, usually a PACS."""

from workers.destinations.dimse.client import DimseClient, DimseSettings
from workers.destinations.kind import DestinationKind

DIMSE = DestinationKind("dimse", DimseSettings, DimseClient.connect)
