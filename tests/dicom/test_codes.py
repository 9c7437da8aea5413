from typing import cast

import pytest
from pydicom.sr import _concepts_dict
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom import codes as concepts
from dicom.terms.birads import BIRADS_CATEGORIES
from dicom.terms.classification import CLASSES

NOT_IN_PYDICOM = {"99CS3D", "99SONOGATE", "BI", "RFC5646", "UMLS"}


def every_code() -> list[Code]:
    codes = []
    for value in vars(concepts).values():
        values = value.values() if isinstance(value, dict) else [value]
        codes += [value for value in values if isinstance(value, Code)]
    return codes


def test_each_code_equals_that_of_pydicom_if_pydicom_has_the_scheme() -> None:
    for code in every_code():
        if code.scheme_designator in NOT_IN_PYDICOM or code == concepts.PIXELS:
            continue
        scheme = cast(
            "dict[str, dict[str, object]]", _concepts_dict.concepts[code.scheme_designator]
        )
        assert any(code.value in values for values in scheme.values()), code


@pytest.mark.parametrize(
    ("code", "group"),
    [
        (concepts.PROCEDURE, "cid6050"),
        (concepts.SIDE["L"], "cid244"),
        (concepts.SIDE["R"], "cid244"),
        (concepts.ABNORMAL_STRUCTURE, "cid7150"),
        (concepts.TISSUE, "cid7150"),
        (concepts.NORMAL_TISSUE, "cid6054"),
        (concepts.CLASS["normal"], "cid222"),
        (concepts.CLASS["benign"], "cid6063"),
        (concepts.CLASS["malignant"], "cid6063"),
        (concepts.PROBABILITY_OF_CANCER, "cid6048"),
        (concepts.AREA, "cid7469"),
        (concepts.LONG_AXIS, "cid7469"),
        (concepts.SHORT_AXIS, "cid7469"),
        (concepts.AI, "cid7162"),
        (concepts.ULTRASOUND, "cid29"),
    ],
)
def test_a_code_is_in_its_documented_context_group(code: Code, group: str) -> None:
    assert code in getattr(codes, group).concepts.values()


def test_meanings_fit_their_value_representation() -> None:
    assert all(len(code.meaning) <= 64 and len(code.value) <= 16 for code in every_code())


def test_every_class_has_a_code() -> None:
    assert tuple(concepts.CLASS) == CLASSES


def test_bi_rads_has_ten_categories() -> None:
    assert list(concepts.BIRADS) == list(BIRADS_CATEGORIES)
