"""Progress of a training on a terminal and elsewhere."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sonogate.training.progress_bars import EpochProgressBars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show_one_epoch() -> None:
    """As `models.training.train` reports it, whose import would load TensorFlow."""
    bars: Any = EpochProgressBars()
    for batch in (1, 2):
        bars("fold 0", SimpleNamespace(epoch=1, epochs=3, batch=batch, batches=2, loss=0.5))
    bars("fold 0", SimpleNamespace(epoch=1, loss=0.5, validation_loss=0.75))


def test_a_terminal_shows_a_bar_and_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show_one_epoch()
    assert "fold 0, epoch 1/3" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "fold 0, epoch 1: loss 0.5000, validation loss 0.7500" in terminal.getvalue()


def test_a_file_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    show_one_epoch()
    assert file.getvalue() == ""
