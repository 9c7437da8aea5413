from collections.abc import Mapping

import pytest
from werkzeug.exceptions import BadRequest

from db.reviews import Judgment, ReviewInvalid
from db.schema import Decision
from webui.study import forms


def test_a_judgment_is_read_from_the_form() -> None:
    form = {
        "decision": "modify",
        "final_label": "benign",
        "birads": "3",
        "reason_modify": "Incorrect class",
        "reason_reject": "Insufficient image quality",
        "comment": "smooth\r\nmargins",
    }
    assert forms.parse_judgment(form, [], {}) == Judgment(
        Decision.MODIFY, "benign", "3", "Incorrect class", "smooth\nmargins"
    )


@pytest.mark.parametrize("form", [{}, {"decision": ""}, {"decision": "maybe"}])
def test_a_form_without_a_decision_is_refused(form: Mapping[str, str]) -> None:
    with pytest.raises(ReviewInvalid, match="accept, modify or reject"):
        forms.parse_judgment(form, [], {})


def test_fields_left_empty_are_none() -> None:
    form = {
        "decision": "reject",
        "final_label": "",
        "birads": "",
        "reason_reject": "Insufficient image quality",
    }
    assert forms.parse_judgment(form, [], {}) == Judgment(
        Decision.REJECT, reason="Insufficient image quality"
    )


@pytest.mark.parametrize("form", [{}, {"analysis_id": "x"}])
def test_a_malformed_id_is_refused(form: Mapping[str, str]) -> None:
    with pytest.raises(BadRequest):
        forms.parse_id(form, "analysis_id")
