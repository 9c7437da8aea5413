"""`sonogate dataset export`."""

import json
from pathlib import Path

import click

from db.types import now_utc
from sonogate.database import open_current_database
from sonogate.dataset_export.export import export
from sonogate.settings import CliSettings
from sonogate.training.options import OUT


@click.command("export")
@click.argument("directory", metavar="DIR", type=OUT)
def command(directory: Path) -> None:
    """Export the images of signed reviews as training data for `sonogate train`.

    \b
    DIR must be new or empty. It then contains:
      images/NNNNNN.png    the B-mode region, gray
      masks/NNNNNN-N.png   one lesion as signed, white on black
      manifest.csv         image, class, masks, duplicate_group (one per patient),
                           label_conflict, birads

    The class is the one that the radiologist signed. Files contain no patient or study
    identifiers, but text burned into the B-mode region remains: check the images before you
    share them. Prints counts as JSON, including the excluded images and why ("excluded"; see
    docs/commands.md). The export is recorded in the audit log.
    """
    settings = CliSettings.load()
    with open_current_database(settings) as database:
        summary = export(database, settings.file_store(), directory, now_utc())
    document = {
        "export_id": str(summary.id),
        "manifest_sha256": summary.manifest_sha256,
        "images": summary.images,
        "classes": dict(sorted(summary.classes.items())),
        "label_conflicts": summary.label_conflicts,
        "studies": len(summary.images_by_study),
        "patients": len(summary.patients),
        "excluded": summary.excluded,
    }
    click.echo(json.dumps(document, indent=2))
    click.echo(f"Wrote {directory}. Check the images for burned-in text.", err=True)
