"""Presets: trained networks with preprocessing, calibration and thresholds, in one directory.

Reading ``preset.json`` does not load TensorFlow.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.atomic_write import write_text_atomically
from models.types import PresetCorrupt, PresetInfo

DEFAULT_PRESET = Path(__file__).parent / "presets" / "default"
MANIFEST = "preset.json"


@dataclass(frozen=True)
class NetworkFile:
    """A trained network: its weight file, the SHA-256 (hex) of that file, and its input size."""

    file: str
    sha256: str
    input_size_px: int


@dataclass(frozen=True)
class Preset:
    """The content of ``preset.json``.

    The class logits and lesion probabilities of ``network`` and ``further_networks``, which share
    one architecture and input size, are averaged.

    Class probabilities are ``softmax(logits / temperature + class_bias)`` (Guo 2017, Alexandari
    2020). Below ``confidence_threshold`` the result is undecided.

    A pixel belongs to the mask if its lesion probability exceeds ``mask_threshold`` and that of a
    connected pixel exceeds ``mask_seed_threshold`` (hysteresis). With ``mirrored``, predictions for
    a frame and its mirror image are averaged.

    ``trained`` describes the training, the training images (`models.data.digests`) and the
    metrics. It does not affect predictions.
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
        """All networks, starting with ``network``."""
        return (self.network, *self.further_networks)

    @property
    def class_shift(self) -> tuple[float, float, float]:
        """``class_bias`` scaled to uncalibrated logits, for the same ranking of classes."""
        normal, benign, malignant = (self.temperature * bias for bias in self.class_bias)
        return (normal, benign, malignant)

    @property
    def info(self) -> PresetInfo:
        """Name, version and digests.

        The same networks classify and segment, so both digests are equal. The digest of several
        networks is the SHA-256 of their concatenated digests.
        """
        digest = self.network.sha256
        if self.further_networks:
            digests = "".join(network.sha256 for network in self.networks)
            digest = hashlib.sha256(digests.encode()).hexdigest()
        return PresetInfo(self.name, self.version, digest, digest, self.confidence_threshold)


def preset_info(directory: Path | None = None) -> PresetInfo:
    """Return name, version and digests of a preset (default: the shipped one).

    Raises:
        PresetCorrupt: a file is missing, or a weight file does not match its digest.
    """
    return read_preset(directory or DEFAULT_PRESET).info


def read_preset(directory: Path) -> Preset:
    """Read ``preset.json`` and check the weight files against their digests.

    Raises:
        PresetCorrupt: a file is missing, or a weight file does not match its digest.
    """
    manifest = directory / MANIFEST
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
        values["class_bias"] = tuple(values.get("class_bias", Preset.class_bias))
        further = tuple(NetworkFile(**file) for file in values.pop("further_networks", ()))
        first = NetworkFile(**values.pop("network"))
        preset = Preset(network=first, further_networks=further, **values)
    except OSError as error:
        raise PresetCorrupt(manifest.name, f"cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PresetCorrupt(manifest.name, f"is not a preset description ({error})") from error
    for network in preset.networks:
        digest = file_sha256(directory / network.file)
        if digest != network.sha256:
            raise PresetCorrupt(
                network.file, f"expected SHA-256 {network.sha256[:12]}…, found {digest[:12]}…"
            )
    return preset


def write_preset(directory: Path, preset: Preset) -> None:
    """Write ``preset.json`` to the directory of the weight files."""
    text = json.dumps(asdict(preset), indent=2, ensure_ascii=False) + "\n"
    write_text_atomically(directory / MANIFEST, text)


def file_sha256(file: Path) -> str:
    """Return the SHA-256 (hex) of a preset's file. Raises `PresetCorrupt` if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PresetCorrupt(file.name, f"cannot be read ({error.strerror})") from error
