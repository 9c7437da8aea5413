from pathlib import Path

import pytest

from workers.destinations.statuses import judge_status


@pytest.mark.parametrize(
    ("status", "accepted", "permanent"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB006, True, False),
        (0xB007, True, False),
        (0x0107, True, False),
        (0x0111, True, False),
        (0xA700, False, False),
        (0x0110, False, False),
        (0x0122, False, True),
        (0x0124, False, False),
        (0xA900, False, True),
        (0xC000, False, True),
        (0xC123, False, True),
        (0x9999, False, False),
    ],
)
def test_statuses_are_judged_as_in_the_standard(
    status: int, accepted: bool, permanent: bool
) -> None:
    outcome = judge_status(Path("x.dcm"), status)
    assert (outcome.accepted, outcome.permanent) == (accepted, permanent)
    assert (f"{status:04X}" in outcome.problem) is not accepted
