import keras
import pytest

from models.recipe import TrainingSpec
from models.training.optimizers import DiscriminativeAdamW, build_optimizer


def spec(**changes: object) -> TrainingSpec:
    return TrainingSpec.model_validate(
        {"epochs": 10, "batch_size": 4, "learning_rate": 1e-2, **changes}
    )


def test_the_learning_rate_of_some_variables_is_scaled() -> None:
    slow, fast = keras.Variable([1.0], name="slow"), keras.Variable([1.0], name="fast")
    optimizer = DiscriminativeAdamW([slow], 0.1, learning_rate=1e-2, weight_decay=0.0)

    optimizer.apply([keras.ops.ones(1), keras.ops.ones(1)], [slow, fast])

    assert 1 - float(slow[0]) == pytest.approx(1e-3, rel=1e-3)
    assert 1 - float(fast[0]) == pytest.approx(1e-2, rel=1e-3)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_lowers_a_loss(name: str) -> None:
    weight = keras.Variable([1.0])
    optimizer = build_optimizer(spec(optimizer=name), [], 5)

    optimizer.apply([keras.ops.ones(1)], [weight])

    assert float(weight[0]) < 1


def test_the_cosine_schedule_warms_up_and_decays_to_its_final_rate() -> None:
    optimizer = build_optimizer(spec(schedule="cosine", final_lr_fraction=0.1), [], 12)

    rates = []
    for step in (0, 10, 119, 120):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))

    assert rates[0] == pytest.approx(5e-4)
    assert rates[1] == pytest.approx(1e-2, rel=1e-3)
    assert rates[2] == pytest.approx(rates[3], rel=1e-2)
    assert rates[3] == pytest.approx(1e-3, rel=1e-3)


def test_weights_are_averaged_only_if_requested() -> None:
    assert not build_optimizer(spec(), [], 5).use_ema
    assert build_optimizer(spec(ema_momentum=0.9), [], 5).ema_momentum == 0.9
