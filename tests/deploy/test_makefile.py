"""The commands of the Makefile."""

import re
import subprocess
from pathlib import Path

from tests.peers import find_program

ROOT = Path(__file__).resolve().parents[2]


def test_make_help_lists_every_target() -> None:
    make = find_program("make")
    shown = subprocess.run(
        [make, "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [target for target in phony.split() if f"make {target} " not in shown] == []


def test_ci_calls_the_commands_that_people_call() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make lint", "make test"]


def test_no_command_is_longer_than_three_lines() -> None:
    recipes = re.findall(
        r"^([\w./]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert {name for name, recipe in recipes if recipe.count("\n") > 3} == set()
