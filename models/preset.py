"""A preset: a weight file and the ``preset.json`` that says what it is.

Reading one loads no TensorFlow, so that the web pages and the doctor can name it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.types import PresetCorrupt, PresetInfo
from models.whole_file import write_text

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

    The answers of ``network`` and of ``further_networks``, all of one architecture and input size,
    are averaged, class logits and lesion probabilities: networks trained apart err apart.
    Logits are divided by ``temperature`` and moved by ``class_bias`` before the softmax (Guo 2017,
    Alexandari 2020); below ``confidence_threshold`` the highest probability asserts no class. A lesion is
    where the mask probability exceeds ``mask_threshold`` in a patch that somewhere exceeds
    ``mask_seed_threshold``. ``mirrored``: each frame is looked at from both sides. ``trained``
    tells where the weights come from and which images they have seen
    (`models.training.identity.seen_images`); no answer depends on it.
    """

    name: str
    version: str
    network: NetworkFile
    temperature: float = 1.0
    class_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    confidence_threshold: float = 0.0
    mask_threshold: float = 0.5
    mask_seed_threshold: float = 0.5
    mirrored: bool = False
    further_networks: tuple[NetworkFile, ...] = ()
    trained: dict[str, Any] = field(default_factory=dict)

    @property
    def networks(self) -> tuple[NetworkFile, ...]:
        """All networks, the first one first."""
        return (self.network, *self.further_networks)

    @property
    def class_shift(self) -> tuple[float, float, float]:
        """``class_bias`` in units of uncalibrated logits: added there, it ranks classes alike."""
        normal, benign, malignant = (self.temperature * bias for bias in self.class_bias)
        return (normal, benign, malignant)

    @property
    def info(self) -> PresetInfo:
        """The preset's name, version and digests: the same files answer both questions.

        The digest of several files is that of their digests, one after another.
        """
        digests = [file.sha256 for file in self.networks]
        joined = hashlib.sha256("".join(digests).encode()).hexdigest()
        weights = joined if self.further_networks else self.network.sha256
        return PresetInfo(self.name, self.version, weights, weights, self.confidence_threshold)


def preset_info(directory: Path | None = None) -> PresetInfo:
    """Name the preset in ``directory`` (default: the shipped one) once its digest is checked.

    Raises `PresetCorrupt`.
    """
    return read_preset(directory or DEFAULT_PRESET).info


def read_preset(directory: Path) -> Preset:
    """Read ``preset.json`` and check the weight file against it. Raises `PresetCorrupt`."""
    preset = _parse(directory / MANIFEST)
    for network in preset.networks:
        _check(directory / network.file, network.sha256)
    return preset


def write_preset(directory: Path, preset: Preset) -> None:
    """Write ``preset.json`` beside the weight file that it names."""
    text = json.dumps(asdict(preset), indent=2, ensure_ascii=False) + "\n"
    write_text(directory / MANIFEST, text)


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
        values["class_bias"] = tuple(values.get("class_bias", Preset.class_bias))
        further = tuple(NetworkFile(**each) for each in values.pop("further_networks", ()))
        first = NetworkFile(**values.pop("network"))
        return Preset(network=first, further_networks=further, **values)
    except OSError as error:
        raise PresetCorrupt(manifest.name, f"cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PresetCorrupt(manifest.name, f"is not a preset description ({error})") from error
