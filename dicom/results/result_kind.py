"""Result kinds: what a destination can ask for, and the functions that build and verify it.

Each kind is a folder beside this module. Its `kind.py` exports one `ResultKind` as `KIND`, and
`dicom.results.catalogue` lists them all. Code outside such a folder never asks for a kind by name;
it asks for the `ResultRole`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset

from dicom.results.model import ReportReference, SignedReview, StudyResult


class ResultRole(StrEnum):
    """What the objects of a kind are for."""

    SEGMENTATION = "segmentation"
    """Lesions as pixels. Reports refer to them, so they are built and sent before reports."""
    REPORT = "report"
    """The findings as coded content. A report names the report that it replaces and the
    segmentations of its own result selection, so each selection has reports of its own."""
    EXPLANATION = "explanation"
    """What the class of an image depends on."""
    MARK = "mark"
    """Which frames show findings, and where."""
    DOCUMENT = "document"
    """A page for people. It is no report: no object refers to it and it has no predecessor."""


@dataclass(frozen=True)
class ResultSpec:
    """A result kind in one variant, with options."""

    kind: "ResultKind"
    variant: str
    options: tuple[str, ...] = ()

    @property
    def role(self) -> ResultRole:
        return self.kind.role

    def __str__(self) -> str:
        """Return the shortest text that `dicom.results.catalogue.parse_spec` parses as this spec:
        `kind`, `kind:variant`, `kind:option` or `kind:variant:option`.
        """
        variant = () if self.variant == self.kind.variants[0] else (self.variant,)
        return ":".join((self.kind.name, *variant, *self.options))


BuiltObjects = Mapping[ResultSpec, Sequence[Dataset]]
"""Objects of one result set by spec. Their pixels may be absent."""


def _no_entries() -> Mapping[ResultSpec, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class BuildInputs:
    """What the objects of one spec are built from."""

    spec: ResultSpec
    result: StudyResult
    segmentations: BuiltObjects = field(default_factory=_no_entries)
    """Segmentations of the same result set."""
    predecessor: ReportReference | None = None
    """The report that the new one replaces."""
    edition: str = ""
    """Makes the UIDs of a report differ from those of other editions of the same analysis."""


@dataclass(frozen=True, eq=False)
class SigningInputs:
    """What the objects of a signed review are built from, besides the analysis."""

    review: SignedReview
    published: BuiltObjects
    """The segmentations that the destination has of the analysis."""
    predecessors: Mapping[ResultSpec, ReportReference]
    """The reports that were reviewed or, for an amendment, the signed reports that it amends."""
    earlier: Mapping[ResultSpec, Sequence[ReportReference]] = field(default_factory=_no_entries)
    """Signed reports of the revisions of the study before late images arrived."""


@dataclass(frozen=True, eq=False)
class SignedBuildInputs:
    """What the objects that a signed review adds to one spec are built from."""

    spec: ResultSpec
    result: StudyResult
    signing: SigningInputs
    edited: BuiltObjects = field(default_factory=_no_entries)
    """Segmentations of the same signed review."""


@dataclass(frozen=True, eq=False)
class ResultKind:
    """A type of DICOM object that Sonogate creates.

    `build` and `build_signed` return no objects where the analysis or the review has nothing to
    show. Their UIDs follow from the inputs: building again gives the same bytes. Both raise
    DicomError. `verify` and `verify_signed` raise ReadBackMismatch unless the file shows what the
    result, or the review of it, states.
    """

    name: str
    description: str
    role: ResultRole
    variants: tuple[str, ...]
    """The first is the default."""
    build: Callable[[BuildInputs], Iterable[Dataset]]
    verify: Callable[[Path, StudyResult], object]
    options: tuple[str, ...] = ()
    build_signed: Callable[[SignedBuildInputs], Iterable[Dataset]] | None = None
    """None: a signed review adds nothing of this kind."""
    verify_signed: Callable[[Path, StudyResult, SignedReview], object] | None = None
    find_omissions: Callable[[StudyResult], Sequence[str]] | None = None
    """Return one reason for each image that has something to show and gets no object; names no
    image and no value. None: every such image gets one."""


def reference_to(report: Dataset) -> ReportReference:
    """Return what a successor of `report` states about it."""
    return ReportReference(
        study_instance_uid=str(report.StudyInstanceUID),
        series_instance_uid=str(report.SeriesInstanceUID),
        sop_class_uid=str(report.SOPClassUID),
        sop_instance_uid=str(report.SOPInstanceUID),
    )
