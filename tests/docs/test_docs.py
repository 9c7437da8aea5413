"""The documentation lists every setting, command, audit event and dependency."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from db.audit_tags import AuditTag
from db.settings import StoreSettings
from dicom.results.profiles import PROFILES
from listener.settings import ListenerSettings
from sonogate.cli import cli
from sonogate.settings import CliSettings
from webui.settings import WebSettings
from workers.settings import WorkerSettings

TOP = Path(__file__).resolve().parents[2]
SETTINGS = (StoreSettings, ListenerSettings, WorkerSettings, WebSettings, CliSettings)
PAGES = [str(p.relative_to(TOP)) for p in (*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"))]
HISTORY = "CHANGELOG.md"
"""It also names settings that are gone."""
LINK = re.compile(r"\]\(([^)#:]+)[^):]*\)")


def _doc(name: str) -> str:
    return (TOP / "docs" / name).read_text()


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def test_every_setting_has_a_line_with_its_default_and_docstring() -> None:
    rows: dict[str, str] = {}
    for name, field in (item for s in SETTINGS for item in s.model_fields.items()):
        default = _shown(field.default)
        text = " ".join((field.description or "").split())
        rows.setdefault(name, f"| `SONOGATE_{name.upper()}` | {default} | {text} |")
    lines = [line for line in _doc("settings.md").splitlines() if line.startswith("| `SONOGATE_")]
    assert lines == list(rows.values())


@pytest.mark.parametrize("page", sorted({*PAGES, "docker-compose.yml"} - {HISTORY}))
def test_settings_are_mentioned_by_names_that_exist(page: str) -> None:
    text = (TOP / page).read_text()
    settings = {f"SONOGATE_{name.upper()}" for s in SETTINGS for name in s.model_fields}
    files = {f"{name}_FILE" for name in settings}
    mentioned = set(re.findall(r"SONOGATE_[A-Z_]*[A-Z]", text))
    assert mentioned - settings - files - {"SONOGATE_SCREENSHOTS"} == set()


def _shown(default: object) -> str:
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_command_has_its_line() -> None:
    text = _doc("commands.md")
    assert {name for name in _commands(cli) if f"`sonogate {name}" not in text} == set()


def test_every_audit_event_has_its_line_and_no_line_is_out_of_date() -> None:
    rows = [line.split("|")[1] for line in _doc("audit-events.md").splitlines() if "| `" in line]
    documented = [tag for row in rows for tag in re.findall(r"`([^`]+)`", row)]
    assert sorted(documented) == sorted(AuditTag)


def test_every_dependency_has_its_reason() -> None:
    text = _doc("dependencies.md")
    project = (TOP / "pyproject.toml").read_text().partition("\ndependencies = [")[2]
    names = re.findall(r'^ {4}"([a-z0-9-]+)', project.partition("\n]")[0], re.MULTILINE)
    assert names, "no dependency was found: the pattern is out of date"
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_every_destination_profile_has_its_line_and_the_sample_routes_name_it() -> None:
    rows = [
        f"| `{profile.name}` | {profile.destination} | {specs} | {profile.description} |"
        for profile in PROFILES.values()
        for specs in [" ".join(f"`{spec}`" for spec in profile.specs)]
    ]
    _, _, section = _doc("conformance/viewers.md").partition("\n## Destination profiles\n")
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert lines == rows
    sample = (TOP / "deploy" / "routes.toml").read_text()
    comments = re.findall(r'^#   "([a-z]+)" +(.*)$', sample, re.MULTILINE)
    named = {name: text for name, text in comments if name in PROFILES}
    assert list(named) == list(PROFILES)
    for name, text in named.items():
        assert text.startswith(PROFILES[name].destination)


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_project_lead_somewhere(page: str) -> None:
    path = TOP / page
    targets = [target for target in LINK.findall(path.read_text()) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []
