import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.preset import DEFAULT_PRESET, read_preset
from models.types import PresetCorrupt
from tests.workers.fake_images import FakePredictor
from workers.services import LazyPredictor, load_predictor


def test_the_networks_are_loaded_once() -> None:
    loads: list[Path | None] = []

    def load(directory: Path | None) -> FakePredictor:
        loads.append(directory)
        return FakePredictor()

    lazy = LazyPredictor(Path("preset"), load)
    assert loads == []
    threads = [threading.Thread(target=lazy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [Path("preset")]
    assert lazy() is lazy()


def test_loading_is_retried_after_a_failure() -> None:
    failures = [PresetCorrupt("network.weights.h5", "is gone")]

    def load(_: Path | None) -> FakePredictor:
        if failures:
            raise failures.pop()
        return FakePredictor()

    lazy = LazyPredictor(None, load)
    with pytest.raises(PresetCorrupt):
        lazy()
    assert lazy().info.name == "painted"


def test_a_corrupt_preset_is_named_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    preset = tmp_path / "preset"
    shutil.copytree(DEFAULT_PRESET, preset)
    weights = preset / read_preset(preset).networks[-1].file
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(PresetCorrupt, match=re.escape(weights.name)) as raised:
        load_predictor(preset)
    assert raised.value.permanent


def test_a_worker_starts_without_tensorflow() -> None:
    check = "import sys, workers.main;sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], check=True)
