from models.reports.plots import plot_losses


def test_losses_are_named_only_where_there_are_several() -> None:
    one, two = plot_losses({"network 1": [2.0, 1.0]}), plot_losses({"a": [2.0, 1.0], "b": [3.0]})

    assert "network 1" not in one
    assert "a</text>" in two
    assert "b</text>" in two


def test_a_training_that_went_astray_can_be_drawn() -> None:
    assert "<svg" in plot_losses({"network 1": [2.0, float("inf"), float("nan")]})
    assert "<svg" in plot_losses({"network 1": [float("nan")]})
