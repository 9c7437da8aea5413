"""`sonogate analyze`."""

from pathlib import Path

import click

from db.settings import StoreSettings
from models.predictor import Predictor
from sonogate.analyze.run import AnalyzedFile, analyze_files
from sonogate.decoding import limit_decoding
from sonogate.files.inputs import find_input_files
from sonogate.tensorflow_log import suppress_native_stderr


@click.command()
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Output directory.",
)
@click.option(
    "--preset",
    type=click.Path(path_type=Path, exists=True),
    help="Preset directory. Default: the shipped preset.",
)
def command(paths: tuple[Path, ...], out: Path, preset: Path | None) -> None:
    """Analyze DICOM, PNG or JPEG files without services.

    Directories are searched recursively.

    \b
    For each input, OUT contains
      NAME.json         class, probabilities and findings, or the refusal reason
      NAME.mask.png     lesion mask (255 inside, 0 outside) in the size of the input
      NAME.overlay.png  the image with heat map and outlines
      NAME.seg.dcm      segmentation, for a DICOM input with a lesion
      NAME.sr.dcm       structured report, for a DICOM input

    The images of a cine show its representative frame. For a refused input, only the JSON file is
    written. If several inputs have the same name, a number is appended (NAME-2); "input" in the
    JSON file is the path of the input.

    Exits with 1 if an input could not be read or its DICOM results could not be written. A refused
    input, such as a CT image, is not an error. Research use only, not for diagnosis.
    """
    limit_decoding(StoreSettings.load())
    sources = find_input_files(paths, exclude=out)
    with suppress_native_stderr():
        predictor = Predictor.load(preset)
    failed = 0
    for analyzed in analyze_files(sources, out, predictor):
        click.echo(summary_line(analyzed))
        failed += analyzed.failed
    if failed:
        click.echo(f"sonogate: {failed} of {len(sources)} inputs failed; see above", err=True)
        raise click.exceptions.Exit(1)


def summary_line(analyzed: AnalyzedFile) -> str:
    """Return the line to print for one input."""
    document = analyzed.document
    if "refused" in document:
        return f"{analyzed.stem}: refused ({document['refused']}): {document['reason']}"
    label = document["class"]
    result = f"{label} {document['probabilities'][label]:.0%}"
    if document["undecided"]:
        result = f"undecided, most probable {result}"
    if "dicom_problem" in document:
        return f"{analyzed.stem}: {result}; {document['dicom_problem']}"
    lesions = len({finding["lesion"] for finding in document["findings"]})
    return f"{analyzed.stem}: {result}, {lesions} {'lesion' if lesions == 1 else 'lesions'}"
