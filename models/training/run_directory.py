"""The directory of a training run: only one run may write to it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from models.atomic_write import write_text_atomically
from models.training.summary import SUMMARY
from models.types import ModelError

RUN_FILE = "training.json"
"""Digests that identify the run in a directory, by what they are computed from."""
REPORT = "report.html"
"""The report that `models.reports.training_report` writes."""
_RUN_OUTPUTS = ("folds/fold-*", "logs/fold-*", "logs/all-images", "preset", SUMMARY, REPORT)
"""What a run writes to its directory; nothing else is ever removed."""


class RunDirectoryOccupied(ModelError):
    """Raised when a directory contains another training run."""


def prepare_run_directory(
    directory: Path, digests: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Create the directory of the run that ``digests`` identify, or continue in it.

    ``overwrite`` removes the outputs of another run first.

    Raises:
        RunDirectoryOccupied: it contains another run, or one of an older version.
    """
    try:
        existing = dict(json.loads((directory / RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        existing = {}
    if existing == digests:
        return
    outputs = [path for pattern in _RUN_OUTPUTS for path in directory.glob(pattern)]
    if outputs and not overwrite:
        differing = [name for name in digests if existing and existing.get(name) != digests[name]]
        reason = f" (different {', '.join(differing)})" if differing else ""
        raise RunDirectoryOccupied(
            f"{directory.name} contains another training run{reason}: choose another --out, or"
            " remove that run with --overwrite"
        )
    for path in outputs:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    write_text_atomically(directory / RUN_FILE, json.dumps(dict(digests), indent=1))


def has_training_run(directory: Path) -> bool:
    """Whether a training run uses ``directory``, or has used it."""
    return any((directory / name).exists() for name in (RUN_FILE, SUMMARY))
