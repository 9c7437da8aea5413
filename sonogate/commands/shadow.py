"""`sonogate shadow`: what a second preset says beside the active one."""

import csv
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session

from db import shadows
from db.shadows import Report, Tally
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings


@click.group()
def command() -> None:
    """Compare the shadow preset (SONOGATE_SHADOW_PRESET_DIR) with the active one."""


@command.command()
@click.option(
    "--format", "kind", default="json", show_default=True, type=click.Choice(["json", "csv"])
)
@click.option("--output", default="-", type=click.File("w", encoding="utf-8"), help="A file.")
def report(kind: str, output: Any) -> None:
    """Write how often the two agree and every disagreement (json), or each image (csv).

    Names studies and images by Sonogate's own ids; holds nothing of a patient.
    """
    with migrated(FrontDoorSettings.load()) as database, database.read() as session:
        if kind == "csv":
            _write_csv(session, output)
        else:
            document = _document(shadows.load_report(session, limit=None))
            output.write(json.dumps(document, indent=2, default=_plain) + "\n")


def _write_csv(session: Session, output: Any) -> None:
    writer = None
    for line in shadows.iter_images(session):
        if writer is None:
            writer = csv.DictWriter(output, list(line), lineterminator="\n")
            writer.writeheader()
        writer.writerow(line)


def _document(report: Report) -> dict[str, Any]:
    return {
        "presets": [_preset(tally) for tally in report.tallies],
        "jobs": report.jobs,
        "disagreements": [asdict(each) for each in report.disagreements],
    }


def _preset(tally: Tally) -> dict[str, Any]:
    crossed = [
        {"active": active, "shadow": shadow, "analyses": count}
        for (active, shadow), count in sorted(tally.crossed.items())
    ]
    figures = {
        "analyses": tally.analyses,
        "agreeing": tally.agreeing,
        "agreement": tally.agreement,
    }
    return {**vars(tally), **figures, "crossed": crossed}


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    assert isinstance(value, UUID)
    return str(value)
