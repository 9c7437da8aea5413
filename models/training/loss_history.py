"""The losses of trainings, kept beside the networks that came of them, for reports to draw."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

LOSSES = "losses.json"
"""A number an epoch; or, beside several networks, a list of such for each that kept them."""

Curves = Mapping[str, Sequence[float]]
"""Losses epoch by epoch, by whose they are."""


def read_losses(home: Path) -> Curves:
    """Read the losses of each network in ``home``, as far as they were kept."""
    file = home / LOSSES
    if not file.is_file():
        return {}
    told = json.loads(file.read_text(encoding="utf-8"))
    curves = told if told and isinstance(told[0], list) else [told]
    return {f"network {number}": curve for number, curve in enumerate(curves, 1) if curve}


def write_losses(home: Path, curves: Sequence[Sequence[float]]) -> None:
    """Write the losses of several networks; nothing is left where none are known."""
    file = home / LOSSES
    if curves:
        file.write_text(json.dumps(curves), encoding="utf-8")
    else:
        file.unlink(missing_ok=True)
