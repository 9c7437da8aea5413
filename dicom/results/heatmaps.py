"""Functions that the heat map kinds share."""

from dicom.errors import InvalidResult
from dicom.results.model import ImageResult, StudyResult
from dicom.results.source_image import SourceImage


def images_with_heatmaps(result: StudyResult) -> list[ImageResult]:
    """Return the analyzed images that have a heat map."""
    return [image for image in result.images if image.heatmaps]


def check_heatmaps(image: ImageResult, source: SourceImage) -> None:
    """Raise InvalidResult unless the heat maps fit the frames and the size of `source`."""
    for frame, heatmap in image.heatmaps.items():
        if not 1 <= frame <= source.last_frame:
            raise InvalidResult("a heat map is of a frame that no reference can name")
        if heatmap.shape != source.shape:
            raise InvalidResult("a heat map differs in size from its image")
