import numpy as np
import pytest

from workers.pipeline.verdict import averaged_frames, image_verdict, label_of, study_verdict

NORMAL = (0.9, 0.06, 0.04)
BENIGN = (0.1, 0.8, 0.1)
MALIGNANT = (0.05, 0.15, 0.8)


def test_a_still_is_its_frame() -> None:
    verdict = image_verdict([BENIGN])
    assert verdict.probabilities == pytest.approx(BENIGN)
    assert (verdict.label, verdict.representative) == ("benign", 0)


def test_a_lesion_in_a_third_of_a_cine_is_not_drowned_by_the_rest() -> None:
    frames = [NORMAL] * 10 + [MALIGNANT] * 10 + [NORMAL] * 12
    verdict = image_verdict(frames)
    assert verdict.label == "malignant"
    assert verdict.probabilities == pytest.approx(MALIGNANT)
    assert verdict.representative == 10


@pytest.mark.parametrize("count", [3, 4, 8, 32])
def test_one_odd_frame_does_not_decide(count: int) -> None:
    frames = [NORMAL] * (count - 1) + [MALIGNANT]
    assert image_verdict(frames).label == "normal"


def test_the_frame_that_speaks_for_a_cine_says_its_class_most_clearly() -> None:
    clear, odd = (0.0, 0.88, 0.12), (0.0, 0.01, 0.99)
    verdict = image_verdict([BENIGN, clear, odd, *[BENIGN] * 13])
    assert verdict.label == "benign"
    assert verdict.representative == 1


def test_probabilities_of_a_cine_sum_to_one() -> None:
    assert sum(image_verdict([NORMAL, BENIGN, MALIGNANT]).probabilities) == pytest.approx(1)


def test_the_frames_of_the_mean_are_told_by_their_numbers() -> None:
    numbers = range(1, 65, 2)
    frames = [NORMAL] * 10 + [MALIGNANT] * 3 + [BENIGN] * 19
    averaged = averaged_frames(dict(zip(numbers, frames, strict=True)))
    assert averaged == (21, 23, 25, 27, 29, 31, 33, 35)
    mean = np.mean([frames[(number - 1) // 2] for number in averaged], axis=0)
    assert image_verdict(frames).probabilities == pytest.approx(mean)


def test_a_short_cine_is_averaged_whole() -> None:
    assert averaged_frames({1: NORMAL, 2: MALIGNANT, 5: NORMAL}) == (1, 2, 5)


def test_no_frames_have_no_verdict() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        image_verdict([])


def test_a_study_is_what_its_most_suspicious_image_is() -> None:
    verdict = study_verdict([NORMAL, MALIGNANT, BENIGN])
    assert verdict is not None
    assert (verdict.label, verdict.representative) == ("malignant", 1)


def test_a_weak_malignant_image_outranks_a_benign_one_with_more_malignancy_beside_it() -> None:
    weak_malignant, strong_benign = (0.3, 0.3, 0.4), (0.0, 0.51, 0.49)
    verdict = study_verdict([strong_benign, weak_malignant])
    assert verdict is not None
    assert verdict.label == "malignant"


def test_among_normal_images_the_least_clear_one_speaks() -> None:
    verdict = study_verdict([NORMAL, (0.6, 0.1, 0.3), (0.6, 0.3, 0.1)])
    assert verdict is not None
    assert verdict.representative == 1


def test_of_equal_images_the_first_speaks() -> None:
    verdict = study_verdict([BENIGN, BENIGN])
    assert verdict is not None
    assert verdict.representative == 0


def test_a_study_without_images_has_no_verdict() -> None:
    assert study_verdict([]) is None


def test_a_tie_goes_to_the_more_suspicious_class() -> None:
    assert label_of((0.4, 0.4, 0.2)) == "benign"


UNSURE = (0.2, 0.35, 0.45)


def test_below_the_threshold_the_class_is_undecided_and_still_the_most_probable() -> None:
    verdict = image_verdict([UNSURE], confidence_threshold=0.46)
    assert (verdict.label, verdict.undecided, verdict.asserted_class) == ("malignant", True, None)
    assert verdict.probabilities == pytest.approx(UNSURE)


@pytest.mark.parametrize("threshold", [0.0, 0.45])
def test_at_the_threshold_it_is_asserted(threshold: float) -> None:
    verdict = image_verdict([UNSURE], confidence_threshold=threshold)
    assert (verdict.undecided, verdict.asserted_class) == (False, "malignant")


def test_a_cine_is_judged_by_the_mean_that_is_its_result() -> None:
    sure, doubtful = (0.0, 0.1, 0.9), (0.4, 0.3, 0.3)
    assert image_verdict([sure, doubtful, doubtful], confidence_threshold=0.6).undecided
    assert not image_verdict([sure, sure, doubtful], confidence_threshold=0.6).undecided


def test_an_undecided_suspicion_is_not_outvoted_by_a_sure_benign_image() -> None:
    verdict = study_verdict([BENIGN, UNSURE], confidence_threshold=0.5)
    assert verdict is not None
    assert (verdict.representative, verdict.undecided) == (1, True)
