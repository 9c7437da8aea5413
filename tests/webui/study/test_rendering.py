import io
from pathlib import Path
from uuid import UUID

import numpy as np
from PIL import Image
from sqlalchemy import select

from db.schema import (
    Instance,
)
from dicom.images.frames import decode_frames
from tests.webui.conftest import Visitor
from tests.webui.seeding import Site
from tests.webui.study.conftest import CINE, SPICULATED, as_list, instance_address, viewer_images
from webui.study import rendering


def test_a_frame_is_shown_as_received(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    answer = visitor.get(f"{instance_address(site, study_id, 2)}/frame/5.jpg")
    assert answer.headers["Cache-Control"] == "private, max-age=600, immutable"
    with Image.open(io.BytesIO(answer.data)) as image:
        shown = np.asarray(image.convert("L")).astype(int)
    assert np.abs(shown - CINE.frames[4].image).max() < 24  # JPEG at quality 95


def test_a_thumbnail_is_small(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    answer = visitor.get(f"{instance_address(site, study_id)}/thumbnail/1.jpg")
    with Image.open(io.BytesIO(answer.data)) as image:
        assert image.size == (192, 144)


def test_a_heat_map_is_opaque_where_it_is_high_and_transparent_where_it_is_low(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    images = viewer_images(visitor.get(f"/study/{study_id}").text)
    address = as_list(images[0]["sampled"])[0]["heatmap"]
    with Image.open(io.BytesIO(visitor.get(str(address)).data)) as image:
        assert (image.mode, image.size) == ("RGBA", (320, 240))
        alpha = np.asarray(image)[..., 3]
    mask = SPICULATED.frames[0].mask
    assert alpha[mask].mean() > 150
    assert alpha[0, 0] == 0


def test_heat_map_colors_increase_in_brightness(tmp_path: Path) -> None:
    path = tmp_path / "ramp.png"
    Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis]).save(path)
    with Image.open(io.BytesIO(rendering.heatmap_png(path))) as image:
        pixels = np.asarray(image)[0].astype(float)
    brightness = pixels[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > -1).all()
    assert brightness[-1] > 220


def test_a_frame_is_rendered_from_its_file(site: Site, study_id: UUID) -> None:
    with site.database.read() as session:
        found = session.scalars(select(Instance).where(Instance.number == 2)).one()
    path = site.files.path(found.file)
    assert next(decode_frames(path, [3])).shape == (240, 320)
    assert rendering.frame_jpeg(path, 4)[:2] == b"\xff\xd8"
