"""`sonogate shadow`."""

import csv
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session

from db import shadows
from db.shadows import PresetComparison
from sonogate.database import open_current_database
from sonogate.settings import CliSettings


@click.group()
def command() -> None:
    """Compare the shadow preset (SONOGATE_SHADOW_PRESET_DIR) with the active preset."""


@command.command()
@click.option(
    "--format",
    "output_format",
    default="json",
    show_default=True,
    type=click.Choice(["json", "csv"]),
    help="json: counts and disagreements; csv: one row per image.",
)
@click.option(
    "--output",
    default="-",
    type=click.File("w", encoding="utf-8"),
    help="Output file. Default: standard output.",
)
def report(output_format: str, output: Any) -> None:
    """Report how often the two presets agree, and where they disagree.

    Studies and images are identified by Sonogate's own ids. The report contains no patient data.
    """
    with open_current_database(CliSettings.load()) as database, database.read() as session:
        if output_format == "csv":
            _write_csv(session, output)
            return
        shadow_report = shadows.load_report(session, limit=None)
    document = {
        "presets": [_to_dict(comparison) for comparison in shadow_report.comparisons],
        "jobs": shadow_report.jobs,
        "disagreements": [asdict(disagreement) for disagreement in shadow_report.disagreements],
    }
    output.write(json.dumps(document, indent=2, default=_to_text) + "\n")


def _write_csv(session: Session, output: Any) -> None:
    writer = None
    for row in shadows.iter_images(session):
        if writer is None:
            writer = csv.DictWriter(output, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _to_dict(comparison: PresetComparison) -> dict[str, Any]:
    document = asdict(comparison)
    document["analyses"] = comparison.analyses
    document["agreeing"] = comparison.agreeing
    document["agreement"] = comparison.agreement
    document["counts"] = [
        {"active": active, "shadow": shadow, "analyses": count}
        for (active, shadow), count in sorted(comparison.counts.items())
    ]
    return document


def _to_text(value: datetime | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
