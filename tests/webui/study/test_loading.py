from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import NoResultFound

from db.schema import Study, StudyStatus
from tests.webui.conftest import Visitor
from tests.webui.seeding import Site
from tests.webui.study.conftest import (
    MODIFIED,
    UNCALIBRATED,
    find_analysis_id,
    instance_address,
    save_draft,
    sign_review,
)
from webui.study import loading


def _digest(site: Site, study_id: UUID) -> str:
    with site.database.read() as session:
        return loading.load_state(session, study_id).digest


def _load_page(site: Site, study_id: UUID, reader: str = "reader") -> loading.StudyPage:
    with site.database.read() as session:
        return loading.load_page(session, study_id, site.users[reader].id)


def test_an_image_is_found_only_through_its_own_study(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    other = site.add_study(UNCALIBRATED)
    visitor.sign_in("reader")
    folder = instance_address(site, study_id, 2).replace(str(study_id), str(other))
    for address in ("frame/1.jpg", f"heatmap/{find_analysis_id(site, study_id)}/1.png"):
        assert visitor.get(f"{folder}/{address}").status_code == 404


def test_the_digest_changes_with_delivery_and_status(site: Site, study_id: UUID) -> None:
    digests = [_digest(site, study_id)]
    site.publish_results(study_id, site.add_destination())
    digests.append(_digest(site, study_id))
    with site.database.write() as session:
        session.get_one(Study, study_id).status = StudyStatus.RECEIVING
    digests.append(_digest(site, study_id))
    assert len(set(digests)) == 3
    assert _digest(site, study_id) == digests[-1]


def test_a_draft_is_loaded_only_for_its_reader(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    draft_id = save_draft(visitor, site, study_id, MODIFIED)
    own, other = _load_page(site, study_id), _load_page(site, study_id, "admin")
    assert own.draft is not None
    assert own.draft.id == draft_id
    assert other.draft is None


def test_a_signed_review_closes_the_review_until_it_is_amended(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    assert _load_page(site, study_id).is_reviewable
    review_id = save_draft(visitor, site, study_id, MODIFIED)
    sign_review(visitor, study_id, review_id)
    assert not _load_page(site, study_id).is_reviewable
    visitor.post(f"/study/{study_id}/review/{review_id}/amend")
    page = _load_page(site, study_id)
    assert page.is_reviewable
    assert page.displayed_review is page.draft


def test_an_unknown_study_is_not_found(site: Site) -> None:
    with site.database.read() as session, pytest.raises(NoResultFound):
        loading.load_state(session, uuid4())
