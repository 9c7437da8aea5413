"""One training to a directory: another one must not overwrite it unasked, nor mix with it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from models.training.summary import SUMMARY
from models.types import ModelError
from models.whole_file import write_text

TRAINING = "training.json"
"""Digests of what makes the training that a directory holds, by what they are of."""
REPORT = "report.html"
"""What a training found, as a page (`models.assessment.training_report`)."""
_LEFT = ("folds/fold-*", "logs/fold-*", "logs/all-images", "preset", SUMMARY, REPORT)
"""What trainings leave in a directory, and all that is ever removed from it."""


class OtherTraining(ModelError):
    """A directory that holds what another training made."""


def claim(directory: Path, parts: Mapping[str, str], *, overwrite: bool = False) -> None:
    """Make ``directory`` that of the training of ``parts``, digests by what they are of.

    If it holds another's work, or an older version's, ``overwrite`` removes that; otherwise
    `OtherTraining` is raised.
    """
    kept = _kept(directory)
    if kept == parts:
        return
    left = [path for pattern in _LEFT for path in directory.glob(pattern)]
    if left and not overwrite:
        other = [name for name in parts if kept.get(name) != parts[name]] if kept else []
        told = f" (with other {', '.join(other)})" if other else ""
        raise OtherTraining(
            f"{directory.name} holds another training{told}: give another --out, or --overwrite,"
            " which removes it"
        )
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / TRAINING, json.dumps(dict(parts), indent=1))


def holds_training(directory: Path) -> bool:
    """Whether a training has, or had, its work in ``directory``."""
    return any((directory / name).exists() for name in (TRAINING, SUMMARY))


def _kept(directory: Path) -> dict[str, str]:
    try:
        return dict(json.loads((directory / TRAINING).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none there, or a damaged one: nobody knows whose
        return {}
