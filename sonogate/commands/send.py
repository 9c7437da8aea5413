"""`sonogate send`."""

import tempfile
from pathlib import Path

import click

from sonogate.files.inputs import find_input_files
from sonogate.files.wrapping import to_sendable
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.store_scu import send


class HostAndPort(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``."""

    name = "host:port"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port; brackets of an IPv6 address are removed."""
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


@click.command()
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
)
@click.option("--to", "address", required=True, type=HostAndPort(), help="Address of the node.")
@click.option("--aet", default="SONOGATE", show_default=True, help="AE title of the node.")
@click.option("--calling-aet", default="SONOGATE-SEND", show_default=True, help="Our AE title.")
@click.option(
    "--patient-id", default="", help="Send all images as one study of the patient with this ID."
)
@click.option("--patient-name", default="", help="Patient name of the images, as Family^Given.")
def command(
    paths: tuple[Path, ...],
    address: tuple[str, int],
    aet: str,
    calling_aet: str,
    patient_id: str,
    patient_name: str,
) -> None:
    """Send files to a DICOM node by C-STORE.

    DICOM files are sent unchanged; PNG and JPEG images are wrapped as ultrasound images.
    Directories are searched recursively. Without --patient-id, each image is a study of its own. Sending the
    same file again sends the same object.

    Exits with 1 if the node did not accept every file.
    """
    with tempfile.TemporaryDirectory(prefix="sonogate-") as folder:
        sendable = to_sendable(
            find_input_files(paths), Path(folder), patient_id=patient_id, patient_name=patient_name
        )
        files = [file.dicom for file in sendable if file.dicom]
        outcomes = send(AssociationRequestor(Peer(aet, *address), calling_aet), files)
    problems = {outcome.path: outcome.problem for outcome in outcomes if not outcome.accepted}
    problems |= {file.source: file.problem for file in sendable if not file.dicom}
    for file in sendable:
        if problem := problems.get(file.dicom or file.source):
            click.echo(f"{file.source}: {problem}", err=True)
    click.echo(f"{len(sendable) - len(problems)} of {len(sendable)} files accepted")
    if problems:
        raise click.exceptions.Exit(1)
