"""Optimizers and learning rate schedules that recipes name.

Importing this module loads TensorFlow.
"""

from collections.abc import Sequence
from typing import Any

import keras

from models.networks.layers import Tensor
from models.recipe import TrainingSpec


class DiscriminativeRate:
    """Optimizer mixin that scales the learning rate of some variables (Howard 2018, ULMFiT)."""

    def __init__(self, scaled: Sequence[Tensor], multiplier: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._scaled, self._multiplier = scaled, multiplier

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Update one variable; Keras calls this."""
        # TensorFlow passes its own variable instead of the Keras variable that wraps it.
        is_scaled = any(variable is x or variable is x.value for x in self._scaled)
        rate = learning_rate * self._multiplier if is_scaled else learning_rate
        super().update_step(gradient, variable, rate)  # type: ignore[misc]  # the optimizer's


class DiscriminativeAdam(DiscriminativeRate, keras.optimizers.Adam):  # type: ignore[misc]  # keras: no types
    """Adam with `DiscriminativeRate`."""


class DiscriminativeAdamW(DiscriminativeRate, keras.optimizers.AdamW):  # type: ignore[misc]  # keras: no types
    """AdamW with `DiscriminativeRate`."""


class DiscriminativeSgd(DiscriminativeRate, keras.optimizers.SGD):  # type: ignore[misc]  # keras: no types
    """Stochastic gradient descent with `DiscriminativeRate`."""


class DiscriminativeRmsprop(DiscriminativeRate, keras.optimizers.RMSprop):  # type: ignore[misc]  # no types
    """RMSprop with `DiscriminativeRate`."""


_OPTIMIZERS: dict[str, Any] = {
    "adam": DiscriminativeAdam,
    "adamw": DiscriminativeAdamW,
    "sgd": DiscriminativeSgd,
    "rmsprop": DiscriminativeRmsprop,
}


def build_optimizer(spec: TrainingSpec, encoder: Sequence[Tensor], epoch_steps: int) -> Any:
    """Build a recipe's optimizer.

    The ``encoder`` variables learn at ``backbone_lr_multiplier`` times the learning rate. The
    ``cosine`` schedule warms up over the first twelfth of all steps.
    """
    arguments: dict[str, Any] = {"learning_rate": _learning_rate(spec, epoch_steps)}
    if spec.clip_norm:
        arguments["clipnorm"] = spec.clip_norm
    if spec.weight_decay or spec.optimizer == "adamw":
        arguments["weight_decay"] = spec.weight_decay
    if spec.optimizer == "sgd":
        arguments["momentum"] = 0.9
    if spec.ema_momentum:
        arguments |= {"use_ema": True, "ema_momentum": spec.ema_momentum}
    return _OPTIMIZERS[spec.optimizer](encoder, spec.backbone_lr_multiplier, **arguments)


def _learning_rate(spec: TrainingSpec, epoch_steps: int) -> Any:
    if spec.schedule != "cosine":
        return spec.learning_rate
    steps = spec.epochs * epoch_steps
    warmup = max(1, steps // 12)
    return keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        alpha=spec.final_lr_fraction,
        warmup_target=spec.learning_rate,
        warmup_steps=warmup,
    )
