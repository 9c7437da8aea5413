"""The catalogue of result objects: what a destination may ask for, how it is made and checked.

A destination says in words what it wants: `seg`, `sr:comprehensive-3d`, `seg:fractional`,
`seg:binary:every-frame`. Whoever makes results needs no list of kinds of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.errors import ReadBackMismatch, UnknownResult
from dicom.results.heatmap_pm.build import left_out, make_heatmap_maps
from dicom.results.heatmap_sc.build import make_heatmap_captures
from dicom.results.heatmap_seg.build import make_heatmap_segmentations
from dicom.results.heatmap_verify import verify_capture, verify_heatmap, verify_heatmap_map
from dicom.results.key_objects.build import KeyObjectTitle, build_key_objects
from dicom.results.marks_verify import verify_key_objects, verify_presentation_state
from dicom.results.model import ImageResult, ReportReference, SignedReview, StudyResult, as_reviewed
from dicom.results.presentation_state.build import build_presentation_states
from dicom.results.seg.build import (
    Form,
    image_of,
    in_force,
    make_edited_segmentations,
    make_segmentations,
)
from dicom.results.seg.verify import verify_segmentation
from dicom.results.segmentation import Encoding
from dicom.results.sr.build import ReportClass, build_report, build_verified_report
from dicom.results.sr.verify import verify_report
from dicom.results.verify import verify_written

EVERY_FRAME: Final = "every-frame"


@dataclass(frozen=True)
class ResultSpec:
    """One kind of result in one variant. As text: `kind`, `kind:variant` or with `:every-frame`."""

    kind: str
    variant: str
    every_frame: bool = False
    """Of a segmentation: store also the frames of a cine that show no lesion."""

    def __str__(self) -> str:
        """Return the shortest text that `parse_spec` reads as this."""
        default = CATALOGUE[self.kind].variants[0]
        words = [self.kind] if self.variant == default else [self.kind, self.variant]
        return ":".join([*words, EVERY_FRAME] if self.every_frame else words)


Built = Mapping[ResultSpec, Sequence[Dataset]]
"""What has been made of one analysis already, segmentations at least; pixels are not needed."""
Stream = Iterator[tuple[ResultSpec, Dataset]]
"""Objects one at a time, in the order in which they should be sent. Whoever lets go of each before
asking for the next has the pixels of one in memory, however large the study."""


@dataclass(frozen=True, eq=False)
class Signing:
    """What a reader's objects are made of, besides the analysis."""

    review: SignedReview
    published: Built
    """What was made of the analysis for the same destination."""
    predecessors: Mapping[ResultSpec, ReportReference]
    """The report that was reviewed or, of an amendment, the signed report before it."""
    earlier: Mapping[ResultSpec, Sequence[ReportReference]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Signed reports of the study as it was before images came late."""


@dataclass(frozen=True)
class Kind:
    """One entry of the catalogue."""

    about: str
    variants: tuple[str, ...]
    """The first is the default."""
    build: Callable[[ResultSpec, StudyResult, Built], Iterable[Dataset]]
    build_signed: Callable[[ResultSpec, StudyResult, Signing, Built], Iterable[Dataset]]
    verify: Callable[[Path, Dataset, StudyResult, SignedReview | None], None]
    by_frame: bool = False
    """Whether `every-frame` may be asked of it."""
    left_out: Callable[[StudyResult], tuple[str, ...]] | None = None
    """Why images that have something to show get none; None where every such image gets one."""


def parse_spec(text: str) -> ResultSpec:
    """Return what `text` asks for. Raises UnknownResult, which says what may be asked for."""
    name, *words = text.strip().split(":")
    kind = CATALOGUE.get(name)
    if kind is None:
        raise UnknownResult(f"{name!r} is no result; there are {_listed(CATALOGUE)}.")
    every_frame = kind.by_frame and EVERY_FRAME in words
    if every_frame:
        words.remove(EVERY_FRAME)
    variant = words[0] if words else kind.variants[0]
    if len(words) > 1 or variant not in kind.variants:
        known = (*kind.variants, EVERY_FRAME) if kind.by_frame else kind.variants
        raise UnknownResult(f"{text!r} is no variant of {name}; there are {_listed(known)}.")
    return ResultSpec(name, variant, every_frame)


def build(spec: ResultSpec, result: StudyResult, built: Built) -> list[Dataset]:
    """Return the objects that `spec` asks for: none when `result` has nothing to put in them.

    A report refers to the segmentations in `built`, so these have to be made first. The UIDs
    follow from the analysis and the variant: building again makes the same objects. Raises
    DicomError.
    """
    return list(CATALOGUE[spec.kind].build(spec, result, built))


def build_set(
    specs: Iterable[ResultSpec],
    result: StudyResult,
    predecessors: Mapping[ResultSpec, ReportReference] = MappingProxyType({}),
) -> dict[ResultSpec, list[Dataset]]:
    """Return all that `make_set` makes, by spec: for small studies."""
    specs = in_order(specs)
    return _gathered(specs, make_set(specs, result, predecessors))


def make_set(
    specs: Iterable[ResultSpec],
    result: StudyResult,
    predecessors: Mapping[ResultSpec, ReportReference] = MappingProxyType({}),
    edition: str = "",
) -> Stream:
    """Make all that one destination asks for.

    A report names the one of `predecessors` under its own spec, else that of `result`. In an
    `edition` other than the first, reports are other documents with other UIDs; all else is the
    same. Raises DicomError.
    """
    built: dict[ResultSpec, list[Dataset]] = {}
    for spec in in_order(specs):
        said = replace(result, predecessor=predecessors.get(spec, result.predecessor))
        if edition and spec.kind == "sr":
            said = replace(said, analysis_id=f"{result.analysis_id} {edition}")
        yield from _noted(spec, CATALOGUE[spec.kind].build(spec, said, built), built)


def why_left_out(specs: Iterable[ResultSpec], result: StudyResult) -> dict[str, list[str]]:
    """Return, by the text of a spec, why images of `result` have nothing in it that could have.

    A Parametric Map needs a plane, which most images do not state: no error, but worth telling.
    The reasons name no image and no value. Raises DicomError.
    """
    reasons = {
        str(spec): ask(result) for spec in in_order(specs) if (ask := CATALOGUE[spec.kind].left_out)
    }
    return {spec: sorted(set(told)) for spec, told in reasons.items() if told}


def build_signed_set(
    specs: Iterable[ResultSpec], result: StudyResult, signing: Signing
) -> dict[ResultSpec, list[Dataset]]:
    """Return all that `make_signed_set` makes, by spec: for small studies."""
    specs = in_order(specs)
    return _gathered(specs, make_signed_set(specs, result, signing))


def make_signed_set(specs: Iterable[ResultSpec], result: StudyResult, signing: Signing) -> Stream:
    """Make what a signed review adds for one destination that asked for `specs`.

    Verified reports, and segmentations of the images whose outlines the reader changed. Other
    kinds add nothing. Raises DicomError, and KeyError for a report without predecessor.
    """
    built: dict[ResultSpec, list[Dataset]] = {}
    for spec in in_order(specs):
        objects = CATALOGUE[spec.kind].build_signed(spec, result, signing, built)
        yield from _noted(spec, objects, built)


def _noted(
    spec: ResultSpec, objects: Iterable[Dataset], built: dict[ResultSpec, list[Dataset]]
) -> Stream:
    """Pass on the objects, and leave in `built` what a report says of them."""
    noted = built.setdefault(spec, [])
    for one in objects:
        if spec.kind == "seg":
            noted.append(_without_pixels(one))
        yield spec, one
        del one  # or it would be there still while the next one is built


def _without_pixels(one: Dataset) -> Dataset:
    return Dataset({element.tag: element for element in one if element.keyword != "PixelData"})


def _gathered(specs: Iterable[ResultSpec], made: Stream) -> dict[ResultSpec, list[Dataset]]:
    gathered: dict[ResultSpec, list[Dataset]] = {spec: [] for spec in specs}
    for spec, one in made:
        gathered[spec].append(one)
    return gathered


def verify(
    spec: ResultSpec,
    path: Path,
    written: Dataset,
    result: StudyResult,
    review: SignedReview | None = None,
) -> None:
    """Raise ReadBackMismatch unless `path` holds `written`, and that says what was meant.

    `review` is given for what `build_signed_set` made.
    """
    verify_written(path, written)
    CATALOGUE[spec.kind].verify(path, written, result, review)


def in_order(specs: Iterable[ResultSpec]) -> list[ResultSpec]:
    """Return `specs` without repetition, what is referred to before what refers to it."""
    kinds = list(CATALOGUE)
    return sorted(dict.fromkeys(specs), key=lambda spec: kinds.index(spec.kind))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


# --------------------------------------------------------------------------- how each is made


def _form(spec: ResultSpec) -> Form:
    return Form(Encoding(spec.variant.upper()), every_frame=spec.every_frame)


def _segmentations(spec: ResultSpec, result: StudyResult, _built: Built) -> Iterable[Dataset]:
    return make_segmentations(result, _form(spec))


def _edited_segmentations(
    spec: ResultSpec, result: StudyResult, signing: Signing, _built: Built
) -> Iterable[Dataset]:
    return make_edited_segmentations(result, signing.review, _form(spec))


def _report(spec: ResultSpec, result: StudyResult, built: Built) -> list[Dataset]:
    referred = built.get(_referred_to(built), ())
    return [build_report(result, referred, ReportClass(spec.variant))]


def _verified_report(
    spec: ResultSpec, result: StudyResult, signing: Signing, built: Built
) -> list[Dataset]:
    seg = _referred_to(signing.published)
    segmentations = in_force(signing.published.get(seg, ()), built.get(seg, ()), signing.review)
    report = build_verified_report(
        result,
        segmentations,
        signing.review,
        signing.predecessors[spec],
        ReportClass(spec.variant),
        earlier=signing.earlier.get(spec, ()),
    )
    return [report]


def _referred_to(built: Built) -> ResultSpec:
    """Return the segmentations that a report names: the plainest, and never label maps."""
    there = [spec for spec in built if spec.kind == "seg" and spec.variant in _REFERABLE]
    plainest = sorted(there, key=lambda spec: (_REFERABLE.index(spec.variant), spec.every_frame))
    return plainest[0] if plainest else _PLAIN_SEG


def _heatmap_segmentations(
    _spec: ResultSpec, result: StudyResult, _built: Built
) -> Iterable[Dataset]:
    return make_heatmap_segmentations(result)


def _heatmap_maps(_spec: ResultSpec, result: StudyResult, _built: Built) -> Iterable[Dataset]:
    return make_heatmap_maps(result)


def _heatmap_captures(spec: ResultSpec, result: StudyResult, _built: Built) -> Iterable[Dataset]:
    return make_heatmap_captures(result, _TRANSFER_SYNTAXES[spec.variant])


def _key_objects(spec: ResultSpec, result: StudyResult, _built: Built) -> list[Dataset]:
    return build_key_objects(result, KeyObjectTitle(spec.variant))


def _presentation_states(_spec: ResultSpec, result: StudyResult, _built: Built) -> list[Dataset]:
    return build_presentation_states(result)


def _nothing(
    _spec: ResultSpec, _result: StudyResult, _signing: Signing, _built: Built
) -> list[Dataset]:
    return []


# --------------------------------------------------------------------------- how each is checked


def _verify_segmentation(
    path: Path, written: Dataset, result: StudyResult, review: SignedReview | None
) -> None:
    reviewed = as_reviewed(result, review) if review else result
    verify_segmentation(path, _image(written, reviewed))


def _verify_report(
    path: Path, _written: Dataset, result: StudyResult, review: SignedReview | None
) -> None:
    verify_report(path, result, review)


def _verify_heatmap(
    path: Path, written: Dataset, result: StudyResult, _review: SignedReview | None
) -> None:
    verify_heatmap(path, _image(written, result))


def _verify_heatmap_map(
    path: Path, written: Dataset, result: StudyResult, _review: SignedReview | None
) -> None:
    verify_heatmap_map(path, _image(written, result))


def _image(derived: Dataset, result: StudyResult) -> ImageResult:
    uid = image_of(derived)
    for image in result.images:
        if image.sop_instance_uid == uid:
            return image
    raise ReadBackMismatch("it is of an image that the analysis does not have")


def _verify_capture(
    path: Path, _written: Dataset, result: StudyResult, _review: SignedReview | None
) -> None:
    verify_capture(path, result)


def _verify_key_objects(
    path: Path, _written: Dataset, result: StudyResult, _review: SignedReview | None
) -> None:
    verify_key_objects(path, result)


def _verify_presentation_state(
    path: Path, _written: Dataset, result: StudyResult, _review: SignedReview | None
) -> None:
    verify_presentation_state(path, result)


_TRANSFER_SYNTAXES: Final = {"native": ExplicitVRLittleEndian, "jpeg": JPEGBaseline8Bit}
_REFERABLE: Final = ("binary", "fractional")
_PLAIN_SEG: Final = ResultSpec("seg", "binary")

CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "seg": Kind(
            "Lesions as a segmentation",
            tuple(encoding.lower() for encoding in Encoding),
            _segmentations,
            _edited_segmentations,
            _verify_segmentation,
            by_frame=True,
        ),
        "sr": Kind(
            "Findings and measurements as a structured report",
            tuple(map(str, ReportClass)),
            _report,
            _verified_report,
            _verify_report,
        ),
        "heatmap-seg": Kind(
            "Grad-CAM as numbers, a segmentation",
            ("fractional",),
            _heatmap_segmentations,
            _nothing,
            _verify_heatmap,
        ),
        "heatmap-pm": Kind(
            "Grad-CAM as numbers in space, a parametric map",
            ("float",),
            _heatmap_maps,
            _nothing,
            _verify_heatmap_map,
            left_out=left_out,
        ),
        "heatmap-sc": Kind(
            "Grad-CAM as a color picture, a secondary capture",
            tuple(_TRANSFER_SYNTAXES),
            _heatmap_captures,
            _nothing,
            _verify_capture,
        ),
        "key-objects": Kind(
            "The frames with findings as key images",
            tuple(map(str, KeyObjectTitle)),
            _key_objects,
            _nothing,
            _verify_key_objects,
        ),
        "presentation-state": Kind(
            "The outlines as graphics over the image",
            ("softcopy",),
            _presentation_states,
            _nothing,
            _verify_presentation_state,
        ),
    }
)
"""By the name that a destination uses, in the order of sending."""
DEFAULT: Final = (_PLAIN_SEG, ResultSpec("sr", "comprehensive"))
"""What a destination gets that asks for nothing in particular."""
