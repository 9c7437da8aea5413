import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.preset import (
    DEFAULT_PRESET,
    NetworkFile,
    Preset,
    preset_info,
    read_preset,
    write_preset,
)
from models.types import PresetCorrupt


@pytest.fixture
def preset_dir(tmp_path: Path) -> Path:
    """A preset with a correct digest, whose weight file contains no weights."""
    (tmp_path / "n.h5").write_bytes(b"network")
    sha256 = hashlib.sha256(b"network").hexdigest()
    write_preset(tmp_path, Preset("test", "1.2", NetworkFile("n.h5", sha256, 256), temperature=1.5))
    return tmp_path


def test_a_written_preset_is_read_back_unchanged(preset_dir: Path) -> None:
    preset = read_preset(preset_dir)

    assert (preset.name, preset.version, preset.temperature) == ("test", "1.2", 1.5)
    assert preset.network.input_size_px == 256
    assert preset_info(preset_dir) == preset.info


def test_further_networks_are_checked_and_share_one_digest(preset_dir: Path) -> None:
    (preset_dir / "m.h5").write_bytes(b"another")
    further = NetworkFile("m.h5", hashlib.sha256(b"another").hexdigest(), 256)
    alone = read_preset(preset_dir)
    write_preset(preset_dir, replace(alone, further_networks=(further,), confidence_threshold=0.6))

    both = read_preset(preset_dir)

    assert both.networks == (alone.network, further)
    assert both.info.classifier_digest not in {alone.network.sha256, further.sha256}
    assert both.info.confidence_threshold == 0.6
    (preset_dir / "m.h5").write_bytes(b"changed")
    with pytest.raises(PresetCorrupt, match=r"m\.h5: expected SHA-256"):
        read_preset(preset_dir)


def test_the_class_shift_is_the_bias_scaled_to_logits(
    preset_dir: Path,
) -> None:
    write_preset(preset_dir, replace(read_preset(preset_dir), class_bias=(1.0, 0.0, -2.0)))

    preset = read_preset(preset_dir)

    assert preset.class_bias == (1.0, 0.0, -2.0)
    assert preset.class_shift == (1.5, 0.0, -3.0)


def test_changed_weights_are_reported_with_both_digests(preset_dir: Path) -> None:
    expected = read_preset(preset_dir)
    (preset_dir / "n.h5").write_bytes(b"something else")

    with pytest.raises(PresetCorrupt, match=r"n\.h5: expected SHA-256 .*found .*reinstall") as e:
        read_preset(preset_dir)

    assert e.value.permanent
    assert e.value.file == "n.h5"
    assert expected.network.sha256[:12] in str(e.value)


@pytest.mark.parametrize("name", ["n.h5", "preset.json"])
def test_a_missing_file_is_named(preset_dir: Path, name: str) -> None:
    (preset_dir / name).unlink()

    with pytest.raises(PresetCorrupt, match=f"{name}: cannot be read"):
        read_preset(preset_dir)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}', "\udcff"])
def test_an_invalid_description_is_named(preset_dir: Path, text: str) -> None:
    (preset_dir / "preset.json").write_text(text, encoding="utf-8", errors="surrogateescape")

    with pytest.raises(PresetCorrupt, match=r"preset\.json: is not a preset description"):
        read_preset(preset_dir)


def test_an_unknown_key_is_rejected(preset_dir: Path) -> None:
    values = json.loads((preset_dir / "preset.json").read_text(encoding="utf-8"))
    (preset_dir / "preset.json").write_text(json.dumps({**values, "mask_treshold": 0.3}))

    with pytest.raises(PresetCorrupt, match="mask_treshold"):
        read_preset(preset_dir)


def test_the_shipped_preset_is_valid_small_and_described() -> None:
    preset = read_preset(DEFAULT_PRESET)
    card = (DEFAULT_PRESET / "CARD.md").read_text(encoding="utf-8")

    assert preset_info() == preset.info
    assert sum(file.stat().st_size for file in DEFAULT_PRESET.iterdir()) < 40_000_000
    assert preset.network.sha256 in card


def test_reading_a_preset_does_not_load_tensorflow() -> None:
    code = (
        "import sys; from models.predictor import Predictor, preset_info; preset_info();"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
