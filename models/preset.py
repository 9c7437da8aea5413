"""A preset: a weight file and the ``preset.json`` that says what it is.

Reading one loads no TensorFlow, so that the web pages and the doctor can name it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.types import PresetCorrupt, PresetInfo

DEFAULT_PRESET = Path(__file__).parent / "presets" / "default"
MANIFEST = "preset.json"


@dataclass(frozen=True)
class NetworkFile:
    """A trained network: its weight file, its SHA-256 (hex) and its square input's side."""

    file: str
    sha256: str
    input_size_px: int


@dataclass(frozen=True)
class Preset:
    """What ``preset.json`` holds.

    Logits are divided by ``temperature`` before the softmax (Guo 2017). A lesion is where the
    mask probability exceeds ``mask_threshold`` in a patch that somewhere exceeds
    ``mask_seed_threshold``. ``mirrored``: each frame is looked at from both sides. ``trained``
    tells where the weights come from; nothing computes with it.
    """

    name: str
    version: str
    network: NetworkFile
    temperature: float = 1.0
    mask_threshold: float = 0.5
    mask_seed_threshold: float = 0.5
    mirrored: bool = False
    trained: dict[str, Any] = field(default_factory=dict)

    @property
    def info(self) -> PresetInfo:
        """The preset's name, version and digests: one file answers both questions."""
        return PresetInfo(self.name, self.version, self.network.sha256, self.network.sha256)


def preset_info(directory: Path | None = None) -> PresetInfo:
    """Name the preset in ``directory`` (default: the shipped one) once its digest is checked.

    Raises `PresetCorrupt`.
    """
    return read_preset(directory or DEFAULT_PRESET).info


def read_preset(directory: Path) -> Preset:
    """Read ``preset.json`` and check the weight file against it. Raises `PresetCorrupt`."""
    preset = _parse(directory / MANIFEST)
    _check(directory / preset.network.file, preset.network.sha256)
    return preset


def write_preset(directory: Path, preset: Preset) -> None:
    """Write ``preset.json`` beside the weight file that it names."""
    text = json.dumps(asdict(preset), indent=2, ensure_ascii=False) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def digest(file: Path) -> str:
    """Return the SHA-256 of ``file`` in hex. Raises `PresetCorrupt` when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PresetCorrupt(file.name, f"cannot be read ({error.strerror})") from error


def _check(file: Path, expected: str) -> None:
    actual = digest(file)
    if actual != expected:
        raise PresetCorrupt(file.name, f"expected SHA-256 {expected[:12]}…, found {actual[:12]}…")


def _parse(manifest: Path) -> Preset:
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
        return Preset(network=NetworkFile(**values.pop("network")), **values)
    except OSError as error:
        raise PresetCorrupt(manifest.name, f"cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PresetCorrupt(manifest.name, f"is not a preset description ({error})") from error
