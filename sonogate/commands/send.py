"""`sonogate send`: C-STORE files to a DICOM node."""

import tempfile
from pathlib import Path

import click

from sonogate.inputs import find_inputs
from sonogate.wrapping import as_dicom
from workers.peers.store_scu import Peer, send


class HostAndPort(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``."""

    name = "host:port"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--to", "address", required=True, type=HostAndPort(), help="HOST:PORT of the node.")
@click.option("--aet", default="SONOGATE", show_default=True, help="AE title of the node.")
@click.option("--calling-aet", default="SONOGATE-SEND", show_default=True, help="Our AE title.")
@click.option("--patient-id", default="", help="All pictures are one study of this patient.")
@click.option("--patient-name", default="", help="Family^Given.")
def command(
    paths: tuple[Path, ...],
    address: tuple[str, int],
    aet: str,
    calling_aet: str,
    patient_id: str,
    patient_name: str,
) -> None:
    """Send DICOM files as they are; PNG and JPEG pictures wrapped as ultrasound images.

    Folders are walked. Without --patient-id each picture is a study of its own. Sending the same
    files again sends the same objects. Exits with 1 when the node did not take every one.
    """
    with tempfile.TemporaryDirectory(prefix="sonogate-") as folder:
        ready = as_dicom(
            find_inputs(paths), Path(folder), patient_id=patient_id, patient_name=patient_name
        )
        files = [each.file for each in ready if each.file]
        outcomes = send(files, Peer(aet, *address), calling_ae=calling_aet)
    problems = {each.path: each.problem for each in outcomes if not each.accepted}
    problems |= {each.source: each.problem for each in ready if not each.file}
    for each in ready:
        if problem := problems.get(each.file or each.source):
            click.echo(f"{each.source}: {problem}", err=True)
    click.echo(f"{len(ready) - len(problems)} of {len(ready)} files were taken")
    if problems:
        raise click.exceptions.Exit(1)
