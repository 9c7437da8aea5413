"""`sonogate dataset export`: what readers signed becomes training data."""

import json
from pathlib import Path

import click

from db.types import now_utc
from sonogate.database import migrated
from sonogate.dataset_export.export import Exported, export
from sonogate.settings import FrontDoorSettings
from sonogate.training_options import OUT


@click.command("export")
@click.argument("directory", metavar="DIR", type=OUT)
def command(directory: Path) -> None:
    """Write what readers signed into DIR, as `sonogate train --data DIR` takes it; print JSON.

    \b
    DIR is empty or not there, and holds then
      images/NNNNNN.png    the B-mode region alone, gray
      masks/NNNNNN-N.png   a lesion as it stands after the review, white
      manifest.csv         image, class, masks, duplicate_group (one number for each patient),
                           label_conflict, birads

    The class is the reader's. Nothing in DIR names a patient or a study, but text burned into the
    region stays in the picture: look through the images before they leave the house. What is left
    out, and why, is counted under "left_out" (docs/commands.md). The export is an audit event.
    """
    settings = FrontDoorSettings.load()
    with migrated(settings) as database:
        exported = export(database, settings.file_store(), directory, now_utc())
    click.echo(json.dumps(_document(exported), indent=2))
    click.echo(f"The images are in {directory}: look for text burned into them.", err=True)


def _document(exported: Exported) -> dict[str, object]:
    return {
        "export_id": str(exported.id),
        "manifest_sha256": exported.manifest_sha256,
        "images": exported.images,
        "classes": dict(sorted(exported.classes.items())),
        "label_conflicts": exported.doubtful,
        "studies": len(exported.studies),
        "patients": len(exported.patients),
        "left_out": exported.left_out,
    }
