import json
from pathlib import Path

from models.training.loss_history import LOSSES_FILE, read_losses, write_losses


def test_the_losses_of_one_network_are_a_list_of_numbers(tmp_path: Path) -> None:
    (tmp_path / LOSSES_FILE).write_text("[2.0, 1.5]")

    assert read_losses(tmp_path) == {"network 1": [2.0, 1.5]}


def test_the_losses_of_several_networks_are_lists(tmp_path: Path) -> None:
    write_losses(tmp_path, [[2.0, 1.5], [3.0]])

    assert json.loads((tmp_path / LOSSES_FILE).read_text()) == [[2.0, 1.5], [3.0]]
    assert read_losses(tmp_path) == {"network 1": [2.0, 1.5], "network 2": [3.0]}


def test_saved_losses_are_removed_if_there_are_none(tmp_path: Path) -> None:
    assert read_losses(tmp_path) == {}
    write_losses(tmp_path, [[2.0]])

    write_losses(tmp_path, [])

    assert not (tmp_path / LOSSES_FILE).exists()
    (tmp_path / LOSSES_FILE).write_text("[]")
    assert read_losses(tmp_path) == {}
