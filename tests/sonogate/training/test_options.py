"""Options of the training commands."""

import pytest

from sonogate.training.options import TrainingExtraMissing, require_training_extra


def test_what_training_needs_and_services_do_not_is_asked_for_at_once() -> None:
    with pytest.raises(
        TrainingExtraMissing, match=r"no_such_thing not installed.*sonogate\[train\]"
    ):
        require_training_extra(("json", "no_such_thing"))
