import numpy as np
import pytest

from dicom.terms.classification import Classification, Probabilities
from workers.pipeline.aggregation import (
    classify,
    classify_image,
    classify_study,
    find_averaged_frames,
)

NORMAL = (0.9, 0.06, 0.04)
BENIGN = (0.1, 0.8, 0.1)
MALIGNANT = (0.05, 0.15, 0.8)


def test_a_still_has_the_class_of_its_frame() -> None:
    classification, representative = classify_image([BENIGN])
    assert classification.probabilities == pytest.approx(BENIGN)
    assert (classification.label, representative) == ("benign", 0)


def test_a_lesion_on_a_third_of_the_frames_decides_the_class_of_a_cine() -> None:
    frames = [NORMAL] * 10 + [MALIGNANT] * 10 + [NORMAL] * 12
    classification, representative = classify_image(frames)
    assert classification.label == "malignant"
    assert classification.probabilities == pytest.approx(MALIGNANT)
    assert representative == 10


@pytest.mark.parametrize("count", [3, 4, 8, 32])
def test_one_misleading_frame_does_not_decide(count: int) -> None:
    frames = [NORMAL] * (count - 1) + [MALIGNANT]
    assert classify_image(frames)[0].label == "normal"


def test_the_class_of_a_cine_is_most_probable_on_its_representative_frame() -> None:
    clear, odd = (0.0, 0.88, 0.12), (0.0, 0.01, 0.99)
    classification, representative = classify_image([BENIGN, clear, odd, *[BENIGN] * 13])
    assert classification.label == "benign"
    assert representative == 1


def test_probabilities_of_a_cine_sum_to_one() -> None:
    classification, _ = classify_image([NORMAL, BENIGN, MALIGNANT])
    assert sum(classification.probabilities) == pytest.approx(1)


def test_averaged_frames_are_returned_by_their_numbers() -> None:
    numbers = range(1, 65, 2)
    frames = [NORMAL] * 10 + [MALIGNANT] * 3 + [BENIGN] * 19
    averaged = find_averaged_frames(dict(zip(numbers, frames, strict=True)))
    assert averaged == (21, 23, 25, 27, 29, 31, 33, 35)
    mean = np.mean([frames[(number - 1) // 2] for number in averaged], axis=0)
    assert classify_image(frames)[0].probabilities == pytest.approx(mean)


def test_all_frames_of_a_short_cine_are_averaged() -> None:
    assert find_averaged_frames({1: NORMAL, 2: MALIGNANT, 5: NORMAL}) == (1, 2, 5)


def test_an_image_without_frames_cannot_be_classified() -> None:
    with pytest.raises(ValueError, match="cannot be classified"):
        classify_image([])


def study_of(*images: Probabilities, threshold: float = 0.0) -> Classification:
    classification = classify_study([classify(image, threshold) for image in images])
    assert classification is not None
    return classification


def test_a_study_has_the_class_of_its_most_suspicious_image() -> None:
    assert study_of(NORMAL, MALIGNANT, BENIGN) == Classification("malignant", MALIGNANT)


def test_a_weak_malignant_image_outranks_a_benign_one_with_more_malignancy_beside_it() -> None:
    weak_malignant, strong_benign = (0.3, 0.3, 0.4), (0.0, 0.51, 0.49)
    assert study_of(strong_benign, weak_malignant).label == "malignant"


def test_among_normal_images_the_least_certain_one_represents_the_study() -> None:
    least_certain = (0.6, 0.1, 0.3)
    assert study_of(NORMAL, least_certain, (0.6, 0.3, 0.1)).probabilities == least_certain


def test_of_equal_images_the_first_represents_the_study() -> None:
    images = [classify(BENIGN), classify(BENIGN)]
    assert classify_study(images) is images[0]


def test_a_study_without_images_has_no_class() -> None:
    assert classify_study([]) is None


def test_a_tie_goes_to_the_more_suspicious_class() -> None:
    assert classify((0.4, 0.4, 0.2)).label == "benign"


UNSURE = (0.2, 0.35, 0.45)


def test_below_the_threshold_the_class_is_undecided_and_still_the_most_probable() -> None:
    classification, _ = classify_image([UNSURE], confidence_threshold=0.46)
    assert (classification.label, classification.asserted_class) == ("malignant", None)
    assert classification.probabilities == pytest.approx(UNSURE)


@pytest.mark.parametrize("threshold", [0.0, 0.45])
def test_at_the_threshold_it_is_asserted(threshold: float) -> None:
    classification, _ = classify_image([UNSURE], confidence_threshold=threshold)
    assert (classification.undecided, classification.asserted_class) == (False, "malignant")


def test_the_threshold_of_a_cine_applies_to_the_mean() -> None:
    sure, doubtful = (0.0, 0.1, 0.9), (0.4, 0.3, 0.3)
    assert classify_image([sure, doubtful, doubtful], confidence_threshold=0.6)[0].undecided
    assert not classify_image([sure, sure, doubtful], confidence_threshold=0.6)[0].undecided


def test_an_undecided_suspicion_is_not_outvoted_by_a_certain_benign_image() -> None:
    study = study_of(BENIGN, UNSURE, threshold=0.5)
    assert (study.probabilities, study.undecided) == (UNSURE, True)
