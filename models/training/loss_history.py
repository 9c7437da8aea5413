"""Training losses, saved next to the networks for reports."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

LOSSES_FILE = "losses.json"
"""The losses by epoch of one network, or a list of these for several networks."""

LossCurves = Mapping[str, Sequence[float]]
"""Losses by epoch, by the name of the curve."""


def read_losses(home: Path) -> LossCurves:
    """Read the losses of the networks in ``home``; empty if none were saved."""
    file = home / LOSSES_FILE
    if not file.is_file():
        return {}
    saved = json.loads(file.read_text(encoding="utf-8"))
    curves = saved if saved and isinstance(saved[0], list) else [saved]
    return {f"network {number}": curve for number, curve in enumerate(curves, 1) if curve}


def write_losses(home: Path, curves: Sequence[Sequence[float]]) -> None:
    """Save the losses of several networks; remove the file if there are none."""
    file = home / LOSSES_FILE
    if curves:
        file.write_text(json.dumps(curves), encoding="utf-8")
    else:
        file.unlink(missing_ok=True)
