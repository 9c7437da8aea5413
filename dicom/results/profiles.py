"""Destination profiles: named result selections, so that an administrator picks one name.

Each is tested as a whole: its objects are built for every kind of study and validated, and those of
`ohif` are opened in OHIF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dicom.errors import UnknownProfile
from dicom.results.catalogue import parse_spec, sort_specs
from dicom.results.result_kind import ResultSpec


@dataclass(frozen=True)
class Profile:
    """A result selection with a name."""

    name: str
    """`profile` in the routes file."""
    destination: str
    """Which destination it is for."""
    description: str
    """What the destination receives, in one sentence."""
    specs: tuple[ResultSpec, ...]
    """Without repetition and in the order of sending."""
    for_viewing: bool = True
    """Whether it is made for people who look at the results. `sonogate destination test` recommends
    only such a profile: that a destination accepts objects does not show that software there
    processes them.
    """


def _profile(
    name: str, destination: str, description: str, *specs: str, for_viewing: bool = True
) -> Profile:
    return Profile(
        name, destination, description, tuple(sort_specs(map(parse_spec, specs))), for_viewing
    )


_PROFILES: Final = (
    _profile(
        "general",
        "any PACS; the default",
        "Shows most in most viewers: outlines, report, heat map pictures, and the findings on one"
        " page for viewers without SR.",
        *("seg", "sr", "heatmap-sc", "encapsulated-pdf"),
    ),
    _profile(
        "ohif",
        "a PACS that is viewed with OHIF",
        "Outlines and report, which OHIF draws on the images, and heat map pictures.",
        *("seg", "sr", "heatmap-sc"),
    ),
    _profile(
        "orthanc",
        "Orthanc with its own viewers",
        "Report, heat map pictures and the findings on one page.",
        *("sr", "heatmap-sc", "encapsulated-pdf"),
    ),
    _profile(
        "workstation",
        "a workstation that shows presentation states and key images",
        "Report, heat map pictures, outlines as graphics over the image, and key images.",
        *("sr", "heatmap-sc", "key-objects", "presentation-state"),
    ),
    _profile(
        "minimal",
        "a PACS that takes neither segmentations nor reports",
        "Pictures and pages only: heat map pictures and the findings on one page.",
        *("heatmap-sc", "encapsulated-pdf"),
    ),
    _profile(
        "strict",
        "a receiver that requires IHE AI Results (AIR)",
        "Bit-packed segmentations, Comprehensive 3D SR, heat maps as segmentations, and key images.",
        *("seg:binary", "sr:comprehensive-3d", "heatmap-seg", "key-objects"),
        for_viewing=False,
    ),
    _profile(
        "research",
        "software that computes with the results",
        "Probabilities for each pixel, report, and heat maps as numbers.",
        *("seg:fractional", "sr", "heatmap-seg", "heatmap-pm"),
        for_viewing=False,
    ),
)
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {profile.name: profile for profile in _PROFILES}
)
"""By name. Of those for viewing, the ones that show more come first."""
DEFAULT_PROFILE: Final = _PROFILES[0]
"""Of a destination for which the routes file names neither a profile nor results."""


def find_profile(name: str) -> Profile:
    """Return a profile by name. Raises UnknownProfile, whose text lists the known names."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownProfile(
            f"{name!r} is not a destination profile. Use one of: {', '.join(PROFILES)}."
        ) from None
