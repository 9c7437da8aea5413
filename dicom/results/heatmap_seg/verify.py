"""Verifies heat maps as segmentations. See `dicom.results.verify`."""

from pathlib import Path

import numpy as np

from dicom.errors import ReadBackMismatch
from dicom.results.model import StudyResult
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.verify import find_image


def verify_heatmap_segmentation(path: Path, result: StudyResult) -> None:
    """Raise ReadBackMismatch unless `path` contains the heat maps of its image."""
    segmentation = read_back_segmentation(path)
    image = find_image(segmentation.source_sop_instance_uid, result)
    if len(segmentation.segments) != 1:
        raise ReadBackMismatch("the heat map does not have one segment")
    planes = segmentation.segments[0].planes
    if planes.keys() != image.heatmaps.keys():
        raise ReadBackMismatch("the heat map is of other frames")
    for frame, heatmap in image.heatmaps.items():
        if not np.array_equal(planes[frame], heatmap):
            raise ReadBackMismatch("a heat map differs")
