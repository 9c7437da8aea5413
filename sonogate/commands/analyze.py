"""`sonogate analyze`: the pipeline on files."""

from pathlib import Path

import click

from models.predictor import Predictor
from sonogate.analyze.run import Analyzed, analyze_files
from sonogate.inputs import find_inputs
from sonogate.tensorflow_log import without_chatter


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to fill."
)
@click.option(
    "--preset", type=click.Path(path_type=Path, exists=True), help="Folder of trained networks."
)
def command(paths: tuple[Path, ...], out: Path, preset: Path | None) -> None:
    """Analyze DICOM, PNG or JPEG files; folders are walked.

    \b
    Per input, OUT holds
      STEM.json         class, whether it is undecided, probabilities, findings; or the code and
                        reason of a refusal
      STEM.mask.png     lesions 255, the rest 0, in the input's size
      STEM.overlay.png  the picture under its heat map and outlines
      STEM.seg.dcm      for DICOM with a lesion: segmentation
      STEM.sr.dcm       for DICOM: structured report
    The pictures of a cine are of the frame that speaks for it. A refused input has its JSON alone.
    Of several inputs with one stem the second becomes STEM-2, and so on; "input" in the JSON says
    which file it was.

    Exits with 1 when an input could not be read, or its results not be written as DICOM (it has
    its JSON all the same); an image that is refused, a CT for instance, is no error. Research use
    only, not for diagnosis.
    """
    sources = find_inputs(paths, outside=out)
    with without_chatter():
        predictor = Predictor.load(preset)
    failed = 0
    for analyzed in analyze_files(sources, out, predictor):
        click.echo(line_of(analyzed))
        failed += analyzed.failed
    if failed:
        click.echo(f"sonogate: {failed} of {len(sources)} inputs failed, see above", err=True)
        raise click.exceptions.Exit(1)


def line_of(analyzed: Analyzed) -> str:
    """What is printed of one input."""
    document = analyzed.document
    if "refused" in document:
        return f"{analyzed.stem}: refused, {document['refused']}: {document['reason']}"
    label, lesions = document["class"], {each["lesion"] for each in document["findings"]}
    said = f"{label} {document['probabilities'][label]:.0%}"
    if document["undecided"]:
        said = f"undecided, most probably {said}"
    if "dicom_problem" in document:
        return f"{analyzed.stem}: {said}, but {document['dicom_problem']}"
    return f"{analyzed.stem}: {said}, lesions outlined: {len(lesions)}"
