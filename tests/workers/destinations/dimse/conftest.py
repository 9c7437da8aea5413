from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.workers.fake_images import draw_frame, write_image


@pytest.fixture
def images(tmp_path: Path) -> list[Dataset]:
    return [dcmread(write_image(tmp_path / f"{n}.dcm", draw_frame(), number=n)) for n in (1, 2)]
