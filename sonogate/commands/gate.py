"""`sonogate gate`: how many images the input gate refuses, and why. No network is loaded."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from dicom.results import Refusal
from models.types import FramePrediction, PresetInfo
from sonogate.inputs import find_inputs
from workers.pipeline.image import analyse_image
from workers.pipeline.types import Frame

MASK = re.compile(r"_mask(_\d+)?$")
"""Lesion masks of a training folder, which lie beside their images."""


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
    Masks of training data (STEM_mask.png) are passed over.
    """
    images = [path for path in find_inputs(paths) if not MASK.search(path.stem)]
    reasons = [(path, reason) for path in images if (reason := refusal_of_file(path))]
    click.echo(json.dumps(_figures(len(images), reasons), indent=2, ensure_ascii=False))


def refusal_of_file(path: Path) -> Refusal | None:
    """The reason not to analyse the image; a cine is let in when one of its frames is."""
    try:
        return analyse_image(path, Blind()).refusal
    except OSError as error:
        return Refusal("unreadable", f"The file cannot be read: {error.strerror or error}.")


def _figures(images: int, reasons: Sequence[tuple[Path, Refusal]]) -> dict[str, Any]:
    by_code = Counter(reason.code for _, reason in reasons)
    return {
        "images": images,
        "refused": len(reasons),
        "rate": len(reasons) / images if images else 0.0,
        "by_code": dict(by_code.most_common()),
        "which": [{"input": str(path), "refused": reason.code} for path, reason in reasons],
    }
