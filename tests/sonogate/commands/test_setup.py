"""`sonogate setup`."""

from pathlib import Path

from tests.sonogate.commands.passwords import can_log_in, one_time_password
from tests.sonogate.conftest import Run


def test_setup_prints_the_first_administrators_password_once(run: Run, home: Path) -> None:
    first = run("setup")
    assert first.exit_code == 0
    assert can_log_in("admin", one_time_password(first.output))
    again = run("setup")
    assert again.exit_code == 0
    assert "password" not in again.output
