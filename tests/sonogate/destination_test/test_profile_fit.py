"""Which profiles fit what a destination test found."""

from dataclasses import replace

from dicom.results.profiles import DEFAULT_PROFILE, PROFILES
from sonogate.destination_test.profile_fit import (
    find_profile_fits,
    list_passed_results,
    list_profile_specs,
    recommend_profile,
)
from sonogate.destination_test.round_trip import RoundTrip

PASSED = [RoundTrip(str(spec)) for spec in list_profile_specs()]


def with_problem(*specs: str) -> list[RoundTrip]:
    return [replace(trip, problem="refused") if trip.spec in specs else trip for trip in PASSED]


def test_all_profiles_fit_a_destination_that_takes_everything() -> None:
    fits = find_profile_fits(PASSED)
    assert [fit.profile for fit in fits] == list(PROFILES.values())
    assert all(fit.fits for fit in fits)
    assert recommend_profile(fits) is DEFAULT_PROFILE


def test_an_image_that_was_refused_is_no_matter_of_the_profiles() -> None:
    assert all(fit.fits for fit in find_profile_fits([RoundTrip("image", "refused"), *PASSED]))


def test_an_object_of_a_signed_review_counts() -> None:
    fits = find_profile_fits([*PASSED, RoundTrip("signed/sr", "refused")])
    unfit = {fit.profile.name: fit.problems for fit in fits if not fit.fits}
    assert unfit["ohif"] == ("signed/sr: not stored: refused",)
    assert set(unfit) == {
        name for name, profile in PROFILES.items() if "sr" in map(str, profile.specs)
    }


def test_a_reason_is_given_once_for_many_objects() -> None:
    trips = with_problem("encapsulated-pdf")
    (general, *_) = find_profile_fits([*trips, *trips])
    assert general.problems == ("encapsulated-pdf: not stored: refused",)


def test_a_profile_whose_objects_were_not_tested_does_not_fit() -> None:
    trips = [trip for trip in PASSED if trip.spec != "heatmap-sc"]
    problems = {fit.profile.name: fit.problems for fit in find_profile_fits(trips)}
    assert problems["minimal"] == ("heatmap-sc: not tested",)


def test_profiles_that_are_not_for_viewing_are_never_recommended() -> None:
    fits = find_profile_fits(with_problem("heatmap-sc"))
    assert {fit.profile.name for fit in fits if fit.fits} == {"strict", "research"}
    assert recommend_profile(fits) is None


def test_results_that_passed_are_listed() -> None:
    trips = [*with_problem("encapsulated-pdf"), RoundTrip("signed/sr", "refused")]
    assert list_passed_results(trips, DEFAULT_PROFILE.specs) == [
        str(spec) for spec in DEFAULT_PROFILE.specs if str(spec) not in ("encapsulated-pdf", "sr")
    ]
