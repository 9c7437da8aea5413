from dicom.terms.classification import Classification


def test_a_decided_classification_asserts_and_displays_its_class() -> None:
    decided = Classification("malignant", (0.1, 0.2, 0.7))
    assert (decided.asserted_class, decided.displayed_class) == ("malignant", "malignant")
    assert decided.confidence == 0.7


def test_an_undecided_classification_asserts_no_class() -> None:
    undecided = Classification("benign", (0.3, 0.4, 0.3), undecided=True)
    assert (undecided.asserted_class, undecided.displayed_class) == (None, "undecided")
