"""`sonogate gate`: how many images the input gate refuses, and why. No network is loaded."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from dicom.errors import InvalidHeader, NotDicom, TruncatedFile, UndecodableFrame
from dicom.results.model import RefusalReason
from models.types import FramePrediction, PresetInfo
from sonogate.inputs import find_inputs
from workers.errors import NotAnImage
from workers.pipeline.image import analyze_image
from workers.pipeline.types import Frame

MASK = re.compile(r"_mask(_\d+)?$")
"""Lesion masks of a training folder, which lie beside their images."""
UNREADABLE = "unreadable"
_BROKEN = (InvalidHeader, NotAnImage, NotDicom, TruncatedFile, UndecodableFrame)
DAMAGED = frozenset({UNREADABLE, *(each.code for each in _BROKEN)})
"""What the gate never saw: no network could have read it either."""


class Blind:
    """In the place of the networks: what it is shown went through the gate."""

    info = PresetInfo("none", "0", "", "")

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]:
        return [
            FramePrediction(
                (1.0, 0.0, 0.0),
                np.zeros(frame.shape[:2], np.bool_),
                np.zeros(frame.shape[:2], np.float32),
            )
            for frame in frames
        ]


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def command(paths: tuple[Path, ...]) -> None:
    """Show DICOM, PNG or JPEG files to the input gate; folders are walked.

    Prints JSON: how many images there are, how many are refused by each code, the rate, and which
    they are. On a folder of images that should all be let in, the rate is that of false refusals.
    Damaged files are counted apart, and not among the images. Masks of training data
    (STEM_mask.png) are passed over.
    """
    files = [path for path in find_inputs(paths) if not MASK.search(path.stem)]
    reasons = [(path, reason) for path in files if (reason := refusal_of_file(path))]
    click.echo(json.dumps(_figures(len(files), reasons), indent=2, ensure_ascii=False))


def refusal_of_file(path: Path) -> RefusalReason | None:
    """The reason not to analyze the image; a cine is let in when one of its frames is."""
    try:
        return analyze_image(path, Blind()).refusal
    except OSError as error:
        return RefusalReason(UNREADABLE, f"The file cannot be read: {error.strerror or error}.")


def _figures(files: int, reasons: Sequence[tuple[Path, RefusalReason]]) -> dict[str, Any]:
    damaged = [each for each in reasons if each[1].code in DAMAGED]
    refused = [each for each in reasons if each[1].code not in DAMAGED]
    images = files - len(damaged)
    by_code = Counter(reason.code for _, reason in refused)
    return {
        "images": images,
        "refused": len(refused),
        "rate": len(refused) / images if images else 0.0,
        "by_code": dict(by_code.most_common()),
        "which": [{"input": str(path), "refused": reason.code} for path, reason in refused],
        "damaged": [{"input": str(path), "problem": reason.code} for path, reason in damaged],
    }
