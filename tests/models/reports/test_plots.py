from models.reports.plots import plot_losses


def test_several_curves_have_a_legend() -> None:
    one, two = plot_losses({"network 1": [2.0, 1.0]}), plot_losses({"a": [2.0, 1.0], "b": [3.0]})

    assert "network 1" not in one
    assert "a</text>" in two
    assert "b</text>" in two


def test_infinite_losses_can_be_plotted() -> None:
    assert "<svg" in plot_losses({"network 1": [2.0, float("inf"), float("nan")]})
    assert "<svg" in plot_losses({"network 1": [float("nan")]})
