"""A study with marks: what key objects select and presentation states draw."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dicom.results.model import LesionResult, StudyResult
from tests.dicom import making

SHAPE = (64, 80)
ROUND = tuple((40 + 20 * np.cos(a), 30 + 20 * np.sin(a)) for a in np.linspace(0, 6, 60))


def lesion(number: int, frame: int, contour: tuple[tuple[float, float], ...]) -> LesionResult:
    mask = making.disc(SHAPE, 40, 30, 8)
    return replace(making.lesion(mask, number=number, frame=frame), contour=contour)


def marked_study(folder: Path) -> StudyResult:
    """A normal still, a suspicious one in gray, and a cine with lesions on frames 2 and 4."""
    paths = [
        making.write_image(folder / f"{number}.dcm", instance_number=number) for number in (1, 2)
    ]
    frames = [making.color(seed=seed) for seed in range(5)]
    cine = making.write_image(folder / "3.dcm", frames, instance_number=3)
    lesions = [lesion(1, 4, ROUND), lesion(2, 2, ROUND[:40]), lesion(1, 2, ROUND[20:])]
    moving = making.image_result(cine, lesions, frame_number=3)
    still = making.image_result(paths[1], [lesion(3, 1, ROUND)])
    return making.study_result(making.image_result(paths[0]), still, moving)
