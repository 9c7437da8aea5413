"""`sonogate gate`. Loads no network."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from db.settings import StoreSettings
from dicom.results.model import RefusalReason
from models.types import FramePrediction, PresetInfo
from sonogate.decoding import limit_decoding
from sonogate.files.inputs import find_input_files
from workers.errors import DAMAGED_CODES
from workers.pipeline.image import analyze_image
from workers.pipeline.types import Frame, RefusedImage

MASK_NAME = re.compile(r"_mask(_\d+)?$")
"""Lesion masks, which lie beside the images of training data."""
UNREADABLE = "unreadable"


class BlankPredictor:
    """Predicts nothing, in place of the networks: the input gate runs before them."""

    info = PresetInfo("none", "0", "", "")

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]:
        """Return an empty prediction for each frame."""
        return [
            FramePrediction(
                (1.0, 0.0, 0.0),
                np.zeros(frame.shape[:2], np.bool_),
                np.zeros(frame.shape[:2], np.float32),
            )
            for frame in frames
        ]


@click.command()
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
)
def command(paths: tuple[Path, ...]) -> None:
    """Count the images that the input gate refuses.

    Checks DICOM, PNG and JPEG files; directories are searched recursively. Lesion masks of training
    data (NAME_mask.png) are skipped.

    Prints the number of images, the number and rate of refused images, the count by refusal code,
    and the refused files as JSON. For a set of images that should all be accepted, the rate is the
    false-refusal rate. Damaged files are listed separately and not counted as images.
    """
    limit_decoding(StoreSettings.load())
    files = [path for path in find_input_files(paths) if not MASK_NAME.search(path.stem)]
    refused, damaged = [], []
    by_code: Counter[str] = Counter()
    for path in files:
        reason = find_refusal(path)
        if reason is None:
            continue
        if reason.code in {UNREADABLE, *DAMAGED_CODES}:
            damaged.append({"input": str(path), "reason": reason.code})
        else:
            refused.append({"input": str(path), "reason": reason.code})
            by_code[reason.code] += 1
    images = len(files) - len(damaged)
    document = {
        "images": images,
        "refused": len(refused),
        "rate": len(refused) / images if images else 0.0,
        "by_code": dict(by_code.most_common()),
        "refused_files": refused,
        "damaged_files": damaged,
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def find_refusal(path: Path) -> RefusalReason | None:
    """Return why an image is refused; a cine is accepted if one of its frames is."""
    try:
        image = analyze_image(path, BlankPredictor())
    except OSError as error:
        return RefusalReason(UNREADABLE, f"The file cannot be read: {error.strerror or error}.")
    return image.reason if isinstance(image, RefusedImage) else None
