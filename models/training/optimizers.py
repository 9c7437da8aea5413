"""Optimizers that recipes name, their rates and schedules. Importing this module loads TensorFlow."""

from collections.abc import Sequence
from typing import Any

import keras

from models.networks.layers import Tensor
from models.recipe import TrainingSpec


class SplitRate:
    """Mixed into an optimizer: some variables learn at a share of the rate."""

    def __init__(self, slow: Sequence[Tensor], share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slow, self._share = slow, share

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Called by Keras for each variable."""
        # TensorFlow hands over its own variable, not the Keras variable around it.
        slow = any(variable is x or variable is x.value for x in self._slow)
        rate = learning_rate * self._share if slow else learning_rate
        super().update_step(gradient, variable, rate)  # type: ignore[misc]  # the optimizer's


class SplitRateAdam(SplitRate, keras.optimizers.Adam):  # type: ignore[misc]  # keras: no types
    """Adam under which some variables learn at a share of the rate."""


class SplitRateAdamW(SplitRate, keras.optimizers.AdamW):  # type: ignore[misc]  # keras: no types
    """AdamW under which some variables learn at a share of the rate."""


class SplitRateSgd(SplitRate, keras.optimizers.SGD):  # type: ignore[misc]  # keras: no types
    """Gradient descent with momentum under which some variables learn at a share of the rate."""


class SplitRateRmsprop(SplitRate, keras.optimizers.RMSprop):  # type: ignore[misc]  # no types
    """RMSprop under which some variables learn at a share of the rate."""


_KINDS: dict[str, Any] = {
    "adam": SplitRateAdam,
    "adamw": SplitRateAdamW,
    "sgd": SplitRateSgd,
    "rmsprop": SplitRateRmsprop,
}


def make_optimizer(spec: TrainingSpec, slow: Sequence[Tensor], epoch_steps: int) -> Any:
    """Build a recipe's optimizer; ``slow`` variables, the encoder's, learn at their share.

    ``cosine`` warms up over a twelfth of all steps.
    """
    arguments: dict[str, Any] = {"learning_rate": _rate(spec, epoch_steps)}
    if spec.clip_norm:
        arguments["clipnorm"] = spec.clip_norm
    if spec.weight_decay or spec.optimizer == "adamw":
        arguments["weight_decay"] = spec.weight_decay
    if spec.optimizer == "sgd":
        arguments["momentum"] = 0.9
    if spec.weight_averaging:
        arguments |= {"use_ema": True, "ema_momentum": spec.weight_averaging}
    return _KINDS[spec.optimizer](slow, spec.backbone_share, **arguments)


def _rate(spec: TrainingSpec, epoch_steps: int) -> Any:
    if spec.schedule != "cosine":
        return spec.learning_rate
    steps = spec.epochs * epoch_steps
    warmup = max(1, steps // 12)
    return keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        alpha=spec.final_rate_share,
        warmup_target=spec.learning_rate,
        warmup_steps=warmup,
    )
