"""A study with a still, a cine, an uncalibrated image and a refused one, and its page."""

import json
from collections.abc import Mapping
from uuid import UUID

import pytest
from sqlalchemy import select

from db.schema import Instance, Study
from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, SampleImage, Site, cine, still

SPICULATED = SampleImage([still("spiculated", 1)], (0.03, 0.1, 0.87))
CINE = SampleImage(cine("fibroadenoma", 2, 9), (0.1, 0.8, 0.1))
UNCALIBRATED = SampleImage([still("cyst", 3)], (0.1, 0.8, 0.1), calibrated=False)
DOPPLER = SampleImage([still("normal", 4)], (1, 0, 0), refused="color-doppler")
MODIFIED = {
    "decision": "modify",
    "final_label": "benign",
    "reason_modify": "Incorrect class",
    "birads": "3",
    "comment": "smooth",
}


@pytest.fixture
def study_id(site: Site) -> UUID:
    return site.add_study(SPICULATED, CINE, UNCALIBRATED, DOPPLER, name="Berg^Anna")


def find_analysis_id(site: Site, study_id: UUID) -> UUID:
    with site.database.read() as session:
        return session.get_one(Study, study_id).analyses[-1].id


def instance_address(site: Site, study_id: UUID, number: int = 1) -> str:
    """Return the address of an instance of the study, without what is asked of it."""
    with site.database.read() as session:
        instance_id = session.scalars(select(Instance.id).where(Instance.number == number)).one()
    return f"/study/{study_id}/instance/{instance_id}"


def viewer_images(page: str) -> list[dict[str, object]]:
    """Return the images that the page gives to the viewer."""
    data = page.partition('id="viewer-data">')[2].partition("</script>")[0]
    images: list[dict[str, object]] = json.loads(data)["images"]
    return images


def as_list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


def save_draft(visitor: Visitor, site: Site, study_id: UUID, form: Mapping[str, str]) -> UUID:
    """Save a review as a draft; returns its id."""
    analysis_id = str(find_analysis_id(site, study_id))
    answer = visitor.post(f"/study/{study_id}/review", analysis_id=analysis_id, sign="1", **form)
    assert answer.status_code == 303, answer.text
    return UUID(answer.headers["Location"].split("/")[-2])


def sign_review(visitor: Visitor, study_id: UUID, review_id: UUID) -> None:
    address = f"/study/{study_id}/review/{review_id}/sign"
    shown = shown_digest(visitor, address)
    assert visitor.post(address, shown=shown, password=PASSWORD).status_code == 303


def shown_digest(visitor: Visitor, address: str) -> str:
    """Return the digest of the judgment that the signing page shows."""
    return visitor.get(address).text.partition('name="shown" value="')[2].partition('"')[0]
