"""`sonogate routes check`."""

from pathlib import Path

import pytest

from dicom.results.profiles import DEFAULT_PROFILE, PROFILES
from tests.sonogate.conftest import Run


def test_routes_check_says_what_a_file_means(run: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[source]]\nae_title = "US1"\naddresses = ["10.0.0.0/8"]\nstable_after_seconds = 30\n'
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        '[[route]]\nname = "breast"\ndestinations = ["pacs"]\n'
    )
    result = run("routes", "check", file)
    assert result.exit_code == 0
    assert "US1 from 10.0.0.0/8; a study is stable after 30 s" in result.output
    specs = ", ".join(map(str, DEFAULT_PROFILE.specs))
    assert (
        f"pacs: PACS at pacs.example:104; profile general, which is results {specs}\n"
        in result.output
    )
    assert "breast: from any sender to pacs" in result.output


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ('profile = "minimal"', "profile minimal, which is results heatmap-sc, encapsulated-pdf"),
        ('results = ["sr", "seg:fractional"]', "results seg:fractional, sr"),
    ],
)
def test_routes_check_prints_the_results_that_a_profile_stands_for(
    run: Run, home: Path, tmp_path: Path, chosen: str, text: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        f"{chosen}\n"
    )
    result = run("routes", "check", file)
    assert result.exit_code == 0
    assert f"pacs: PACS at pacs.example:104; {text}\n" in result.output


def test_routes_check_names_an_unknown_profile_and_the_known_ones(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        'profile = "ohfi"\n'
    )
    result = run("routes", "check", file)
    assert result.exit_code == 1
    assert f"{file}: destination 'pacs': 'ohfi' is not a destination profile" in result.stderr
    assert ", ".join(PROFILES) in result.stderr


@pytest.mark.parametrize("content", ["[[source]\n", '[[source]]\nae_title = ""\n'])
def test_routes_check_names_what_is_wrong(
    run: Run, home: Path, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(content)
    result = run("routes", "check", file)
    assert result.exit_code == 1
    assert str(file) in result.stderr


def test_routes_check_names_a_result_that_cannot_be_made_and_those_that_can(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        'results = ["seg", "sr:basic"]\n'
    )
    result = run("routes", "check", file)
    assert result.exit_code == 1
    assert f"{file}: destination 'pacs': 'sr:basic' is not a variant of sr" in result.stderr
    assert "comprehensive, comprehensive-3d, enhanced" in result.stderr


def test_without_a_routes_file_nothing_leaves(run: Run, home: Path) -> None:
    assert "no results are sent" in run("routes", "check").output
