from uuid import UUID

import pytest
from sqlalchemy import select

from db.schema import (
    Finding,
    FindingKind,
)
from tests.webui.conftest import Visitor
from tests.webui.seeding import Site
from tests.webui.study.conftest import as_list, viewer_images


def test_the_viewer_gets_every_image_with_its_overlays(visitor: Visitor, study_id: UUID) -> None:
    visitor.sign_in("reader")
    first, cine_view, bare, refused = viewer_images(visitor.get(f"/study/{study_id}").text)
    assert (first["columns"], first["rows"], first["frames"]) == (320, 240, 1)
    assert first["spacing_mm"] == pytest.approx([0.16, 0.16])
    assert [frame["number"] for frame in as_list(cine_view["sampled"])] == [1, 3, 5, 7, 9]
    assert cine_view["frame_time_ms"] == 50
    outlined = {outline["frame"] for outline in as_list(cine_view["outlines"])}
    assert outlined <= {1, 3, 5, 7, 9}
    assert cine_view["first"] in outlined
    assert bare["spacing_mm"] is None
    assert refused["label"] is None
    assert "color Doppler" in str(refused["refused"])


def test_lesions_are_numbered_as_in_the_report(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    images = viewer_images(visitor.get(f"/study/{study_id}").text)
    shown = {outline["lesion"] for image in images for outline in as_list(image["outlines"])}
    with site.database.read() as session:
        kind = Finding.kind == FindingKind.LESION
        assert shown == set(session.scalars(select(Finding.number).where(kind)))
