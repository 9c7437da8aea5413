"""The JSON of `db.schema.Finding.frames`: one entry for each classified frame of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Dialect, TypeDecorator

from dicom.terms.classification import Probabilities


@dataclass(frozen=True)
class ClassifiedFrame:
    """One frame as the networks classified it. Files are paths in the store."""

    frame_number: int
    """From 1."""
    probabilities: Probabilities
    heatmap_file: str | None
    lesion_probability_file: str | None = None
    """None for a frame without lesions, and in rows of early versions."""

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "frame": self.frame_number,
            "probabilities": list(self.probabilities),
            "heatmap": self.heatmap_file,
        }
        if self.lesion_probability_file is not None:
            entry["lesion_probability"] = self.lesion_probability_file
        return entry

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "ClassifiedFrame":
        normal, benign, malignant = entry["probabilities"]
        return cls(
            entry["frame"],
            (normal, benign, malignant),
            entry["heatmap"],
            entry.get("lesion_probability"),
        )


class ClassifiedFrames(TypeDecorator[Sequence[ClassifiedFrame]]):
    """A JSON column that holds `ClassifiedFrame` objects."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(
        self, value: Sequence[ClassifiedFrame] | None, dialect: Dialect
    ) -> list[dict[str, Any]] | None:
        return None if value is None else [frame.to_json() for frame in value]

    def process_result_value(
        self, value: list[dict[str, Any]] | None, dialect: Dialect
    ) -> list[ClassifiedFrame] | None:
        return None if value is None else [ClassifiedFrame.from_json(entry) for entry in value]
