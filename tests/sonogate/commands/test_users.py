"""`sonogate users`."""

import re
from pathlib import Path

from tests.sonogate.commands.passwords import can_log_in, one_time_password
from tests.sonogate.conftest import Run


def test_a_person_is_added_listed_reset_and_switched_off(run: Run, installed: Path) -> None:
    reader = ("users", "add", "jane", "--role", "radiologist", "--name", "Jane Doe")
    assert "the organization for which the radiologist signs" in run(*reader).stderr
    added = run(*reader, "--organization", "Clinic")
    first = one_time_password(added.output)
    assert can_log_in("jane", first)
    second = one_time_password(run("users", "reset-password", "jane").output)
    assert not can_log_in("jane", first)
    assert can_log_in("jane", second)
    assert run("users", "deactivate", "jane").exit_code == 0
    assert not can_log_in("jane", second)
    assert re.search(r"jane +radiologist +inactive +Jane Doe", run("users", "list").output)
    assert run("users", "activate", "jane").exit_code == 0
    assert can_log_in("jane", second)


def test_the_last_administrator_stays(run: Run, installed: Path) -> None:
    result = run("users", "deactivate", "admin")
    assert result.exit_code == 1
    assert (
        result.stderr == "sonogate: this is the last active administrator: add another one first\n"
    )
