import enum

import pytest

from db.audit_tags import AuditTag
from db.schema import (
    Decision,
    DeliveryStatus,
    JobKind,
    JobStatus,
    OutlineOrigin,
    Role,
    StudyStatus,
)
from db.worklist import DeliveryState, ReviewState
from dicom.terms.classification import CLASSES, UNDECIDED
from webui import labels

ENUMS = [
    StudyStatus,
    ReviewState,
    DeliveryState,
    DeliveryStatus,
    Decision,
    OutlineOrigin,
    JobKind,
    JobStatus,
    Role,
]


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_every_enum_value_has_a_label_of_its_own(kind: type[enum.StrEnum]) -> None:
    shown = [labels.label(value) for value in kind]
    assert all(shown)
    assert len(set(shown)) == len(shown)


def test_every_class_has_a_label() -> None:
    assert set(labels.CLASS_LABELS) == {*CLASSES, UNDECIDED}


def test_every_audit_tag_has_a_label() -> None:
    assert set(labels.EVENT_LABELS) == set(AuditTag)


def test_an_audit_tag_of_another_version_is_shown_in_words() -> None:
    assert labels.event_label("worker:study:analysed") == "Study analyzed"
    assert labels.event_label("strange:new:tag-here") == "New tag here"


@pytest.mark.parametrize(
    ("decision", "final_label", "asserted", "summary"),
    [
        (Decision.ACCEPT, "benign", "benign", "AI result accepted"),
        (Decision.REJECT, None, "benign", "AI result rejected"),
        (Decision.MODIFY, "malignant", "benign", "Class changed"),
        (Decision.MODIFY, "malignant", None, "Class assigned"),
        (Decision.MODIFY, "benign", "benign", "Outlines changed, same class"),
    ],
)
def test_a_decision_is_summarized(
    decision: Decision, final_label: str | None, asserted: str | None, summary: str
) -> None:
    assert labels.decision_summary(decision, final_label, asserted) == summary
