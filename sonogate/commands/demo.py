"""`sonogate demo`."""

import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from db.schema import Role
from db.types import now_utc
from db.users import FIRST_ADMIN, NewUser
from dicom.equipment import DISCLAIMER
from sonogate.database import create_account, create_first_admin, must_change_password
from sonogate.demo.results import StudySummary
from sonogate.demo.run import RunningDemo, run_demo
from sonogate.demo.studies import DemoStudy, load_studies, make_phantom_studies
from sonogate.settings import CliSettings

PHANTOM_NOTICE = "Phantoms show the data flow. They say nothing about the diagnostic performance of the networks."
RADIOLOGIST = NewUser("reader", Role.RADIOLOGIST, "Demo Reader", "Reader^Demo", "Demonstration")
"""Only a radiologist can review and sign; the administrator cannot."""


@click.command()
@click.option("--once", is_flag=True, help="Print the results as JSON and exit.")
@click.option(
    "--ohif", is_flag=True, help="Use Orthanc as the demo PACS and show its studies in OHIF."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Send these DICOM, PNG or JPEG files instead of phantoms.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for data and logs. Default: SONOGATE_HOME, or ./var.",
)
def command(once: bool, ohif: bool, data: Path | None, home: Path | None) -> None:
    """Run all services with phantom studies and a demo PACS.

    Starts the listener, a worker, the web interface, Redis and a demo PACS, sends studies to the
    listener, and prints the results that arrive at the demo PACS. Runs until Ctrl-C. Ports that
    are in use are replaced by free ones. The demo never uses the database or the Redis server of
    the environment.

    With --ohif, the demo PACS is an installed Orthanc with its DICOMweb plugin, which also receives
    the images, and the OHIF viewer shows them with their results.

    With --once, standard output is a JSON document, and the command exits with 0 only if the SR of
    every study and the SEG of every study with an outlined lesion arrived and could be read back.
    """
    home = home or CliSettings.load().home
    try:
        with run_demo(home, _notify, ohif=ohif) as demo:
            succeeded = _send_and_report(demo, data, once=once)
            if not once:
                demo.services.supervisor.run_forever()
    except KeyboardInterrupt:
        raise click.exceptions.Exit(int(once)) from None
    if not succeeded:
        raise click.exceptions.Exit(1)


def _notify(line: str) -> None:
    click.echo(line, err=True)


def _send_and_report(demo: RunningDemo, data: Path | None, *, once: bool) -> bool:
    """Send the studies and print their results; return whether every object arrived."""
    with tempfile.TemporaryDirectory(prefix="sonogate-") as folder:
        _notify("Preparing studies")
        if data is None:
            studies = make_phantom_studies(Path(folder), run=uuid4().hex, now=now_utc())
            not_sent: list[str] = []
        else:
            studies, not_sent = load_studies(data, Path(folder))
        if demo.ohif_address is not None:
            not_sent += [f"demo PACS: {problem}" for problem in demo.store_images(studies)]
        studies, refused = demo.send(studies)
    not_accepted = not_sent + refused
    summaries = demo.wait_for_results(studies)
    succeeded = not not_accepted and not any(summary.problems for summary in summaries)
    if once:
        document = {
            "ok": succeeded,
            "studies": [
                _to_dict(demo, study, summary)
                for study, summary in zip(studies, summaries, strict=True)
            ],
            "not_accepted": not_accepted,
            "pacs": str(demo.pacs.folder),
            "notice": PHANTOM_NOTICE,
            "disclaimer": DISCLAIMER,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for study, summary in zip(studies, summaries, strict=True):
            click.echo("\n".join(summary.lines()))
            if url := demo.ohif_url(study):
                click.echo(f"  OHIF   {url}")
        for problem in not_accepted:
            click.echo(f"Not accepted: {problem}")
        _print_access(demo)
    return succeeded


def _to_dict(demo: RunningDemo, study: DemoStudy, summary: StudySummary) -> dict[str, Any]:
    document = summary.to_dict()
    if demo.ohif_address is not None:
        document["ohif"] = demo.ohif_url(study)
    return document


def _print_access(demo: RunningDemo) -> None:
    """Print where the services are and how to log in."""
    installation = demo.services.installation
    settings, listener = installation.cli, installation.listener
    admin_password = create_first_admin(settings)
    reader_password = create_account(settings, RADIOLOGIST, actor="demo")
    click.echo()
    click.echo(f"Web interface  {demo.services.url}")
    if demo.ohif_address is not None:
        click.echo(f"OHIF viewer    {demo.ohif_address}/")
    click.echo(f"Radiologist    {_login_text(settings, RADIOLOGIST.username, reader_password)}")
    click.echo(f"Administrator  {_login_text(settings, FIRST_ADMIN, admin_password)}")
    click.echo(f"Listener       {listener.ae_title} at {listener.dicom_host}:{listener.dicom_port}")
    click.echo(f"Demo PACS      {demo.pacs.folder}")
    click.echo(f"\n{PHANTOM_NOTICE}\n{DISCLAIMER} Press Ctrl-C to stop.")


def _login_text(settings: CliSettings, username: str, password: str | None) -> str:
    """Return the one-time password, or how to reset a password set in an earlier run."""
    if password:
        return f"{username}, one-time password {password}"
    reset = f"to reset it: SONOGATE_HOME={settings.home} sonogate users reset-password {username}"
    if must_change_password(settings, username):
        return f"{username}, one-time password from the first run ({reset})"
    return f"{username}, your password ({reset})"
