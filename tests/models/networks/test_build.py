"""The network of every recipe: shapes, names, a gradient step, saving and loading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.build import build_network
from models.networks.encoders import ScaleInput, WeightsUnavailable, encoder_names
from models.networks.layers import FEATURES
from models.recipe import InputSpec, Recipe, RecipeInvalid, read_recipe, recipe_names

SIZE_PX = 64
LARGE_ENCODERS = {
    f"webapp-{name}"
    for name in ("convnextbase", "efficientnetb7", "efficientnetv2s", "resnet152v2", "vitb16")
}
pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def small(name: str) -> Recipe:
    recipe = read_recipe(name)
    shape = InputSpec(**{**recipe.input.model_dump(), "size_px": SIZE_PX})
    return recipe.model_copy(update={"input": shape})


def batch(recipe: Recipe) -> Any:
    shape = (2, SIZE_PX, SIZE_PX, recipe.input.channels)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.long if name in LARGE_ENCODERS else ())
        for name in recipe_names()
    ],
)
def built(request: pytest.FixtureRequest) -> Iterator[tuple[Recipe, Any]]:
    recipe = small(request.param)
    keras.utils.set_random_seed(0)
    yield recipe, build_network(recipe)
    keras.utils.clear_session()


def outputs(recipe: Recipe, network: Any) -> dict[str, Any]:
    output = network(batch(recipe), training=False)
    return output if isinstance(output, dict) else {network.name: output}


def test_outputs_have_the_documented_shapes(built: tuple[Recipe, Any]) -> None:
    recipe, network = built

    classes, mask = (2, len(recipe.classes)), (2, SIZE_PX, SIZE_PX, 1)
    expected = {
        "classifier": {"classifier": classes},
        "segmenter": {"segmenter": mask},
        "joint": {"class": classes, "lesion": mask},
    }[recipe.network.kind]

    assert {key: tuple(value.shape) for key, value in outputs(recipe, network).items()} == expected


def test_layer_names_are_explicit_and_unique(built: tuple[Recipe, Any]) -> None:
    recipe, network = built

    names = [layer.name for layer in network.layers]
    automatic = {"conv2d", "dense", "batch_normalization", "concatenate", "max_pooling2d"}
    assert len(set(names)) == len(names)
    assert not automatic & {name.rstrip("_0123456789") for name in names}
    assert recipe.network.kind == "joint" or FEATURES in names


def test_custom_layers_are_registered_in_the_sonogate_package(built: tuple[Recipe, Any]) -> None:
    custom = [x for x in built[1].layers if type(x).__module__.startswith("models.")]

    assert all(
        keras.saving.get_registered_name(type(x)) == f"sonogate>{type(x).__name__}" for x in custom
    )


def test_a_gradient_step_lowers_the_loss(built: tuple[Recipe, Any]) -> None:
    recipe, network = built

    def loss() -> Any:
        return sum(
            tf.reduce_mean(tf.nn.softplus(-value[:, :1]))
            for value in outputs(recipe, network).values()
        )

    with tf.GradientTape() as tape:
        before = loss()
    variables = [x.value for x in network.trainable_variables]
    gradients = tape.gradient(before, variables, unconnected_gradients="zero")
    steepness = sum(float(tf.reduce_sum(x**2)) for x in gradients)
    assert steepness > 0
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(gradient * (0.01 * float(before) / steepness))

    assert float(loss()) < float(before)


def test_a_saved_and_loaded_network_gives_the_same_outputs(
    built: tuple[Recipe, Any], tmp_path: Path
) -> None:
    recipe, network = built
    expected = outputs(recipe, network)

    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False)

    for key, value in outputs(recipe, loaded).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-4, rtol=1e-4)


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")

    with pytest.raises(
        WeightsUnavailable, match=r"other\.weights\.h5 does not contain weights of Mobile"
    ):
        build_network(small("mobilenetv2-transfer"), tmp_path / "other.weights.h5")


def test_frozen_layers_are_not_trainable_and_an_unknown_layer_is_named(tmp_path: Path) -> None:
    recipe = small("mobilenetv2-transfer")
    file = tmp_path / "start.weights.h5"
    keras.applications.MobileNetV2(
        input_shape=(SIZE_PX, SIZE_PX, 3), include_top=False, weights=None
    ).save_weights(file)

    assert build_network(recipe, file).get_layer("backbone").trainable_variables == []
    assert build_network(recipe).get_layer("backbone").trainable_variables != []
    with pytest.raises(
        RecipeInvalid, match=r"network\.frozen_to: MobileNetV2 has no layer 'block_99'"
    ):
        build_network(recipe.with_value("network.frozen_to", "block_99"), file)


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [("Lambda", {}, "'Lambda' is not one of"), ("Dense", {"size": 3}, r"head\.0\.arguments")],
)
def test_an_invalid_head_is_named(layer: str, arguments: dict[str, int], message: str) -> None:
    values = small("mobilenetv2-transfer").model_dump()
    values["network"]["head"] = [{"layer": layer, "arguments": arguments}]

    with pytest.raises(RecipeInvalid, match=message):
        build_network(Recipe.model_validate(values))


@pytest.mark.parametrize(
    ("name", "size_px", "message"),
    [
        (
            "webapp-unet",
            250,
            "input.size_px 250: 5 widths halve the grid 4 times and need a multiple of 16",
        ),
        ("default", 240, "input.size_px 240: a joint network needs a multiple of 32"),
    ],
)
def test_an_input_size_that_is_not_divisible_is_named(
    name: str, size_px: int, message: str
) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        build_network(read_recipe(name).with_value("input.size_px", size_px))


def test_the_error_for_an_unknown_encoder_lists_the_known_ones() -> None:
    recipe = small("mobilenetv2-transfer").with_value("network.encoder", "LeNet")

    with pytest.raises(RecipeInvalid, match="'LeNet' is not one of ConvNeXtBase"):
        build_network(recipe)
    assert "ViTB16" in encoder_names()


@pytest.mark.parametrize(
    ("scaling", "gray", "expected"),
    [
        ("none", 128, [128, 128, 128]),
        ("tf", 255, [1, 1, 1]),
        ("torch", 0, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]),
        ("caffe", 100, [100 - 103.939, 100 - 116.779, 100 - 123.68]),
    ],
)
def test_gray_pixels_are_scaled_for_an_encoder(
    scaling: Any, gray: float, expected: list[float]
) -> None:
    scaled = ScaleInput(scaling)(np.full((1, 1, 1, 1), gray, np.float32))

    assert np.ravel(scaled) == pytest.approx(expected, abs=1e-4)


def test_efficientnet_input_compensates_its_published_normalization() -> None:
    """The published weights divide by the square root of the standard deviation."""
    scaled = np.ravel(ScaleInput("efficientnet")(np.full((1, 1, 1, 1), 200, np.float32)))

    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    by_stored_weights = (scaled / 255 - mean) / np.sqrt(deviation)
    assert by_stored_weights == pytest.approx((200 / 255 - mean) / deviation, abs=1e-4)
