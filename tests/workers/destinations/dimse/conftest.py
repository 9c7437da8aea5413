from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.workers.painted import picture, write


@pytest.fixture
def images(tmp_path: Path) -> list[Dataset]:
    return [dcmread(write(tmp_path / f"{n}.dcm", picture(), number=n)) for n in (1, 2)]
