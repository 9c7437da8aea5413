"""Which destination profiles fit what a destination did with the objects of the test."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom.results.profiles import PROFILES, Profile
from dicom.results.result_kind import ResultSpec
from sonogate.destination_test.objects import SIGNED_PREFIX
from sonogate.destination_test.round_trip import RoundTrip


@dataclass(frozen=True)
class ProfileFit:
    """Whether a destination handles every object of a profile."""

    profile: Profile
    problems: tuple[str, ...]
    """Each object that failed and why, once for each result spec and reason."""

    @property
    def fits(self) -> bool:
        return not self.problems


def list_profile_specs() -> tuple[ResultSpec, ...]:
    """Return the result specs of all profiles."""
    specs = (spec for profile in PROFILES.values() for spec in profile.specs)
    return tuple(dict.fromkeys(specs))


def find_profile_fits(round_trips: Sequence[RoundTrip]) -> list[ProfileFit]:
    """Return for each profile whether its objects passed, those of a signed review included.

    The images do not count: no profile contains them.
    """
    return [
        ProfileFit(profile, tuple(dict.fromkeys(_find_problems(profile, round_trips))))
        for profile in PROFILES.values()
    ]


def recommend_profile(fits: Iterable[ProfileFit]) -> Profile | None:
    """Return the profile for viewing that shows most among those that fit."""
    return next((fit.profile for fit in fits if fit.fits and fit.profile.for_viewing), None)


def list_passed_results(round_trips: Sequence[RoundTrip], specs: Iterable[ResultSpec]) -> list[str]:
    """Return those of `specs` of which every object passed."""
    failed = {_result_of(trip) for trip in round_trips if not trip.passed}
    return [str(spec) for spec in specs if str(spec) not in failed]


def _find_problems(profile: Profile, round_trips: Sequence[RoundTrip]) -> Iterable[str]:
    for spec in map(str, profile.specs):
        trips = [trip for trip in round_trips if _result_of(trip) == spec]
        if not trips:
            yield f"{spec}: not tested"
        for trip in trips:
            if not trip.passed:
                yield f"{trip.spec}: {trip.failure}"


def _result_of(trip: RoundTrip) -> str:
    return trip.spec.removeprefix(SIGNED_PREFIX)
