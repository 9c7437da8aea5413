"""What a viewer drew on the image, judged against what the object says."""

import numpy as np
from numpy.typing import NDArray

from dicom.results.catalogue import parse_spec
from dicom.results.result_kind import ResultRole
from tests.viewers.seen import Seen, judge_mask, judge_outlines
from tests.viewers.standard_studies import StandardStudy, read_modality, segmented_frames


def judge_overlay(drawn: NDArray[np.bool_], study: StandardStudy, spec: str, frame: int) -> Seen:
    """Judge the pixels of the screen, (rows, columns), that change when the viewer shows an object
    on a frame that is fitted into the middle of the screen.
    """
    mask = study.masks[frame]
    if parse_spec(spec).role is ResultRole.SEGMENTATION:
        return judge_mask(drawn, mask)
    path = study.files[spec]
    if read_modality(path) == "SEG":
        return judge_mask(drawn, segmented_frames(path)[frame] != 0)
    lesions = [lesion for lesion in study.image.lesions if lesion.frame_number == frame]
    rows, columns = mask.shape
    return judge_outlines(drawn, [lesion.contour for lesion in lesions], (rows, columns))
