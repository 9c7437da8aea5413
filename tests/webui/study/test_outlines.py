"""Outlines that a reader changes, from the form to the page."""

import json
from uuid import UUID

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from db.outlines import load_lesion_numbers, load_outlines
from db.schema import Finding, FindingKind, OutlineOrigin, Review
from tests.webui.conftest import Visitor
from tests.webui.seeding import SampleImage, Site, cine, still

SPICULATED = SampleImage([still("spiculated", 1)], (0.03, 0.1, 0.87))
CINE = SampleImage(cine("fibroadenoma", 2, 9), (0.1, 0.8, 0.1))
DOPPLER = SampleImage([still("normal", 4)], (1, 0, 0), refused="color-doppler")
SQUARE = [[20, 30], [70, 30], [70, 80], [20, 80]]  # 8 mm on a side: 64 mm2
NEW = "2.25.123456789"
MODIFY = {"decision": "modify", "final_label": "malignant", "reason_modify": "Inaccurate outline"}


@pytest.fixture
def study_id(visitor: Visitor, site: Site) -> UUID:
    """Read by a radiologist who is signed in."""
    visitor.sign_in("reader")
    return site.add_study(SPICULATED, CINE, DOPPLER)


def _findings(site: Site, kind: FindingKind) -> list[Finding]:
    with site.database.read() as session:
        return list(
            session.scalars(
                select(Finding)
                .where(Finding.kind == kind)
                .order_by(Finding.number, Finding.frame_number)
            )
        )


def _edit(finding: Finding, points: object, **other: object) -> dict[str, object]:
    return {
        "image": str(finding.instance_id),
        "frame": finding.frame_number,
        "lesion": finding.tracking_uid,
        "points": points,
        **other,
    }


def _post(visitor: Visitor, site: Site, path: str, edits: object, **form: str) -> TestResponse:
    analysis_id = str(_findings(site, FindingKind.IMAGE)[0].analysis_id)
    return visitor.post(path, analysis_id=analysis_id, outlines=json.dumps(edits), **form)


def test_outlines_are_saved_with_the_draft_and_measured(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    lesion = _findings(site, FindingKind.LESION)[0]
    edits = [_edit(lesion, SQUARE), _edit(lesion, SQUARE, lesion=NEW)]
    assert _post(visitor, site, f"/study/{study_id}/review", edits, **MODIFY).status_code == 303
    with site.database.read() as session:
        kept = load_outlines(session.scalars(select(Review)).one())
    assert [(each.tracking_uid, each.origin) for each in kept] == [
        (lesion.tracking_uid, OutlineOrigin.CORRECTED),
        (NEW, OutlineOrigin.DRAWN),
    ]
    page = visitor.get(f"/study/{study_id}").text
    for text in ("edited by reader", "drawn by reader", "64 mm²", f'"lesion": "{NEW}"'):
        assert text in page


def test_a_lesion_number_is_never_reused(visitor: Visitor, site: Site, study_id: UUID) -> None:
    lesion = _findings(site, FindingKind.LESION)[0]
    another = NEW[:-1] + "7"
    review = f"/study/{study_id}/review"
    _post(visitor, site, review, [_edit(lesion, SQUARE, lesion=NEW)], **MODIFY)
    with site.database.read() as session:
        given = load_lesion_numbers(session, study_id)
    assert given[NEW] == 1 + max(number for uid, number in given.items() if uid != NEW)
    both = [_edit(lesion, SQUARE, lesion=another), _edit(lesion, SQUARE, lesion=NEW)]
    _post(visitor, site, review, both, **MODIFY)
    with site.database.read() as session:
        assert load_lesion_numbers(session, study_id) == given | {another: given[NEW] + 1}


def test_outlines_are_measured_without_being_saved(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    lesion = _findings(site, FindingKind.LESION)[0]
    answer = _post(visitor, site, f"/study/{study_id}/lesions", [_edit(lesion, [])])
    assert "removed by reader" in answer.text
    assert "<html" not in answer.text
    with site.database.read() as session:
        assert session.scalars(select(Review)).all() == []


def test_a_change_on_one_frame_leaves_the_others(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    lesion = _findings(site, FindingKind.LESION)[-1]
    answer = _post(visitor, site, f"/study/{study_id}/lesions", [_edit(lesion, SQUARE)])
    assert "edited by reader" in answer.text
    assert "<small>frame&nbsp;" in answer.text


def test_an_invalid_outline_is_refused_with_the_reason(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    lesion = _findings(site, FindingKind.LESION)[0]
    image, other = _findings(site, FindingKind.IMAGE)
    bow = [[2, 2], [40, 30], [40, 2], [2, 30]]
    refused: list[tuple[object, str]] = [
        ("no list", "could not be read"),
        ([{"points": SQUARE}], "could not be read"),
        ([_edit(lesion, SQUARE[:2])], "3 to 400 points"),
        ([_edit(lesion, SQUARE * 101)], "3 to 400 points"),
        ([_edit(lesion, [[20, 30], [321, 30], [70, 80]])], "leaves its image"),
        ([_edit(lesion, [[20, 30], [float("nan"), 30], [70, 80]])], "two numbers"),
        ([_edit(lesion, [[1, 1], [5, 1], [9, 1]])], "encloses no area"),
        ([_edit(lesion, bow)], "crosses itself"),
        ([_edit(lesion, SQUARE, frame=2)], "frame that its image does not have"),
        ([_edit(lesion, SQUARE, image=str(study_id))], "image that was not analyzed"),
        ([_edit(lesion, SQUARE, image=str(other.instance_id))], "lesion of another image"),
        ([_edit(image, SQUARE)], "lesion of another image"),
        ([_edit(lesion, SQUARE, lesion="1.2.3")], "unknown lesion"),
        ([_edit(lesion, [], lesion=NEW)], "lesion of the AI can be removed"),
        ([_edit(lesion, SQUARE), _edit(lesion, [])], "twice on one frame"),
        ([_edit(lesion, [])] * 61, "most 60 outlines"),
    ]
    for edits, says in refused:
        for path in ("review", "lesions"):
            answer = _post(visitor, site, f"/study/{study_id}/{path}", edits, **MODIFY)
            assert (answer.status_code, says in answer.text) == (422, True), says


def test_changed_outlines_are_neither_accepted_nor_rejected(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    edits = [_edit(_findings(site, FindingKind.LESION)[0], SQUARE)]
    for form in (
        {"decision": "accept"},
        {"decision": "reject", "reason_reject": "Insufficient image quality"},
    ):
        answer = _post(visitor, site, f"/study/{study_id}/review", edits, **form)
        assert answer.status_code == 422
        assert "Outlines were changed: choose to modify the AI result" in answer.text


def test_modifying_requires_another_class_or_outline(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    answer = _post(visitor, site, f"/study/{study_id}/review", [], **MODIFY)
    assert answer.status_code == 422
    assert "This is the class of the AI: accept the result instead" in answer.text


def test_the_signing_dialog_counts_the_changed_outlines(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    lesion = _findings(site, FindingKind.LESION)[0]
    edits = [_edit(lesion, []), _edit(lesion, SQUARE, lesion=NEW)]
    saved = _post(visitor, site, f"/study/{study_id}/review", edits, sign="1", **MODIFY)
    page = visitor.get(saved.headers["Location"]).text
    assert "1 drawn, 1 removed" in page
    assert "Outlines changed, same class" in page


def test_an_administrator_cannot_edit_outlines(visitor: Visitor, site: Site) -> None:
    study_id = site.add_study(SPICULATED)
    visitor.sign_in("admin")
    page = visitor.get(f"/study/{study_id}").text
    assert 'id="edit"' not in page
    assert 'id="edit-bar"' not in page
