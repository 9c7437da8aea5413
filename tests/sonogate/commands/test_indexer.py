"""`sonogate indexer`."""

from pathlib import Path

from tests.sonogate.conftest import Run


def test_it_refuses_a_database_whose_schema_is_out_of_date(run: Run, home: Path) -> None:
    result = run("indexer")
    assert result.exit_code == 1
    assert "sonogate db upgrade" in result.stderr.splitlines()[-1]
