"""Progress bars of a training."""

import logging
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from models.training.train import BatchProgress, EpochProgress


class EpochProgressBars:
    """Shows a bar per epoch on a terminal. Elsewhere, the log has a line per epoch."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, title: str, progress: "BatchProgress | EpochProgress") -> None:
        """Show a batch that was trained, or the losses of an epoch that ended.

        Implements `models.training.cross_validation.RunProgressCallback`.
        """
        if not self._is_terminal:
            return
        batch = getattr(progress, "batch", 0)  # an `EpochProgress` has none
        if batch == 1:
            self._bar = _start_bar(title, progress)
        if batch:
            self._bar.update(1, f"loss {progress.loss:.4f}")
        else:
            self._bar.render_finish()
            click.echo(_epoch_text(title, progress), err=True)


def hide_epoch_log_lines() -> None:
    """Hide the log's line per epoch on a terminal, where `EpochProgressBars` shows it."""
    if sys.stderr.isatty():
        logging.getLogger("models.training.train").setLevel(logging.WARNING)


def _start_bar(title: str, step: Any) -> Any:
    bar = click.progressbar(
        length=step.batches,
        label=f"{title}, epoch {step.epoch}/{step.epochs}",
        item_show_func=lambda text: text or "",
        file=sys.stderr,
    )
    bar.render_progress()
    return bar


def _epoch_text(title: str, epoch: Any) -> str:
    text = f"{title}, epoch {epoch.epoch}: loss {epoch.loss:.4f}"
    if epoch.validation_loss is None:
        return text
    return f"{text}, validation loss {epoch.validation_loss:.4f}"
