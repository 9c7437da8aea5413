"""`sonogate demo`: the whole line on phantoms."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from db.schema import Role
from db.users import FIRST_ADMIN, NewUser
from dicom.equipment import DISCLAIMER
from sonogate.database import first_password, has_never_logged_in, password_of_new
from sonogate.demo import run as demo
from sonogate.demo.report import StudyReport
from sonogate.demo.run import Demo
from sonogate.settings import FrontDoorSettings

READER = NewUser("reader", Role.RADIOLOGIST, "Demo Reader", "Reader^Demo", "Demonstration")
"""Administrators look; it takes a radiologist to review and sign."""


@click.command()
@click.option("--once", is_flag=True, help="Stop after the results, and print them as JSON.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Your own DICOM files, PNGs or JPEGs instead of phantoms.",
)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Default: ./var.")
def command(once: bool, data: Path | None, home: Path | None) -> None:
    """Run everything, send studies to the listener, show what arrives at a PACS stand-in.

    Listener, worker, web, Redis and SQLite live under ./var or SONOGATE_HOME, the stand-in in its
    folder demo-pacs; other ports are taken when the usual ones are in use. Each run sends phantoms
    of its own, which show the plumbing, not the diagnosis. Stays up until Ctrl-C.

    With --once standard output is JSON alone, and the exit code is 0 only if the SR of every
    study, and the SEG of every study with an outlined lesion, arrived and read back.
    """
    home = home or FrontDoorSettings.load().home
    try:
        with demo.running(home, _say) as running:
            well = _show(running, data, once=once)
            if not once:
                running.up.supervisor.watch()
    except KeyboardInterrupt:
        raise click.exceptions.Exit(int(once)) from None
    if not well:
        raise click.exceptions.Exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(running: Demo, data: Path | None, *, once: bool) -> bool:
    """Send, wait and print; whether everything that was due arrived."""
    with tempfile.TemporaryDirectory(prefix="sonogate-") as folder:
        _say("making the studies")
        target = Path(folder)
        samples, problems = demo.own_studies(data, target) if data else (demo.phantoms(target), [])
        samples, refused = running.send(samples)
    problems += refused
    reports = running.results_of(samples)
    well = not problems and not any(report.problems for report in reports)
    if once:
        click.echo(json.dumps(_document(running, reports, problems, well=well), indent=2))
    else:
        _print(running, reports, problems)
    return well


def _document(
    running: Demo, reports: Sequence[StudyReport], problems: list[str], *, well: bool
) -> dict[str, object]:
    return {
        "ok": well,
        "studies": [report.to_dict() for report in reports],
        "not_taken": problems,
        "pacs": str(running.pacs.folder),
        "caution": demo.CAUTION,
        "disclaimer": DISCLAIMER,
    }


def _print(running: Demo, reports: Sequence[StudyReport], problems: list[str]) -> None:
    for report in reports:
        click.echo("\n".join(report.lines()))
    for problem in problems:
        click.echo(f"NOT TAKEN: {problem}")
    listener = running.up.installation.listener
    click.echo()
    click.echo(f"Worklist   {running.up.url}")
    for role, login in _logins(running):
        click.echo(f"{role:10} {login}")
    click.echo(f"Listener   {listener.ae_title} at {listener.dicom_host}:{listener.dicom_port}")
    click.echo(f"{demo.CAUTION} {DISCLAIMER} Ctrl-C stops it.")


def _logins(running: Demo) -> Iterator[tuple[str, str]]:
    front = running.up.installation.front
    administrator = _login(front, FIRST_ADMIN, first_password(front))
    yield "To read", _login(front, READER.username, password_of_new(front, READER, actor="demo"))
    yield "To run it", administrator


def _login(front: FrontDoorSettings, username: str, password: str | None) -> str:
    if password:
        return f"{username}, one-time password {password}"
    again = f"SONOGATE_HOME={front.home} sonogate users reset-password {username}"
    if has_never_logged_in(front, username):
        return f"{username}, with the one-time password of the first run; a new one: {again}"
    return f"{username}, with your password; a new one: {again}"
