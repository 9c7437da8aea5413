"""Compare the time for class, mask and Grad-CAM of a frame within one run.

Run ``python -m benchmarks.inference``, with ``--rounds N`` for more stable results. The following
methods take turns over the same frames, in one process, with the same weights:

- *Sonogate*: `models.predictor.Predictor` on batches of frames: scaling, one traced graph, masks
  and heat maps in the size of the frame; with one view, and with two views (mirrored);
- *bare pass*: only the networks of the preset, as one traced graph, on the same batches and views,
  scaled beforehand;
- *published apps*: the method of web demonstrations of BUSI, for each image ``model.predict`` of a
  classifier, ``model.predict`` of a segmenter, and a ``GradientTape`` for Grad-CAM. Classifier and
  segmenter are the two outputs of each network, reduced to the layers that they need; one view.

Compare the ratios of the medians within one run. New processes (Linux only) then measure the time
from the start of Python to the first result, and the peak memory of a cine of 500 frames in batches,
as in the workers. The first process also compiles the modules that it imports, which an installation
may have done before, so its time is reported separately.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.phantom import make_phantom

BATCH: Final = 8
VIEWS: Final = {1: "one view", 2: "two views"}
PUBLISHED: Final = "published apps, one view"
Frames = Sequence[NDArray[np.uint8]]

_FIRST_RESULT: Final = """
import time; started = time.perf_counter()
import numpy as np
from models.predictor import Predictor
Predictor.load().predict([np.full((480, 640), 90, np.uint8)], batch_size=1)
print(time.perf_counter() - started)
"""
_CINE: Final = """
import numpy as np
from benchmarks.inference.__main__ import measure_peak_mib
from models.predictor import Predictor
predictor, rng = Predictor.load(), np.random.default_rng(0)
for _ in range(0, 500, 8):
    predictor.predict(list(rng.integers(0, 200, (8, 768, 1024), dtype=np.uint8)), batch_size=8)
print(measure_peak_mib())
"""


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description="Inference speed, as ratios in one run.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=2)
    arguments = parser.parse_args()
    frames = [
        make_phantom("cyst", seed=seed, height=480, width=640).image
        for seed in range(BATCH * arguments.batches)
    ]
    medians = measure(build_methods(frames), arguments.rounds)
    print(format_table(medians, len(frames)))  # noqa: T201  # the output of this program
    print(measure_new_processes())  # noqa: T201


def build_methods(frames: Frames) -> dict[str, Callable[[], object]]:
    """Return the methods by name. Calling one computes class, mask and heat map of all frames."""
    import keras
    import tensorflow as tf

    from models.networks.inference import load_networks, trace
    from models.predictor import Predictor
    from models.preprocess import letterbox
    from models.preset import DEFAULT_PRESET, read_preset

    preset = read_preset(DEFAULT_PRESET)
    networks = load_networks(DEFAULT_PRESET, preset)
    size = preset.network.input_size_px
    squares = np.stack([letterbox(frame, size)[0] for frame in frames])[..., None]

    def sonogate(views: int) -> Callable[[], object]:
        mirrored = views == 2
        predictor = Predictor(
            replace(preset, mirrored=mirrored), lambda b: trace(networks, b, mirrored=mirrored)
        )
        return lambda: predictor.predict(frames, batch_size=BATCH)

    apps = [build_published_method(keras, tf, network, squares) for network in networks]
    return {
        **{f"Sonogate, {name}": sonogate(views) for views, name in VIEWS.items()},
        **{
            f"bare pass, {name}": build_bare_pass(tf, networks, squares, v)
            for v, name in VIEWS.items()
        },
        PUBLISHED: lambda: [run() for run in apps],
    }


def build_bare_pass(
    tf: Any, networks: Sequence[Any], squares: NDArray[np.uint8], views: int
) -> Callable[[], None]:
    """Return a function that runs only the networks, on batches of scaled frames."""
    spec = tf.TensorSpec((BATCH * views, *squares.shape[1:]), tf.float32)
    bare = tf.function(lambda x: [network(x, training=False) for network in networks])
    passed = bare.get_concrete_function(spec)

    def run() -> None:
        for start in range(0, len(squares), BATCH):
            batch = np.repeat(squares[start : start + BATCH], views, axis=0)
            passed(tf.constant(batch, tf.float32))

    return run


def build_published_method(
    keras: Any, tf: Any, network: Any, squares: NDArray[np.uint8]
) -> Callable[[], None]:
    """Return a function with two ``model.predict`` calls and a ``GradientTape`` for each image."""
    classifier = keras.Model(network.input, network.output["class"])
    segmenter = keras.Model(network.input, network.output["lesion"])
    features = network.get_layer("deep_pool").input[0]
    graded = keras.Model(network.input, [features, network.output["class"]])

    def run() -> None:
        for square in squares:
            image = square[None].astype(np.float32)
            predicted = int(classifier.predict(image, verbose=0)[0].argmax())
            segmenter.predict(image, verbose=0)
            with tf.GradientTape() as tape:
                maps, logits = graded(image, training=False)
                score = logits[:, predicted]
            weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
            tf.einsum("bhwk,bk->bhw", maps, weights).numpy()

    return run


def measure(named: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds by method. The methods take turns; the first round is a warm-up."""
    seconds = defaultdict(list)
    for turn in range(rounds + 1):
        for name, run in named.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def format_table(medians: Mapping[str, float], frames: int) -> str:
    """Return milliseconds per frame and the ratios as Markdown."""
    rows = [f"| {name} | {1000 * value / frames:.0f} |" for name, value in medians.items()]
    ratios = [
        f"{views}: {medians[PUBLISHED] / medians[f'Sonogate, {views}']:.1f}x faster than the "
        "published apps, "
        f"{medians[f'Sonogate, {views}'] / medians[f'bare pass, {views}']:.2f}x the bare pass"
        for views in VIEWS.values()
    ]
    return "\n".join(["| method | ms per frame |\n|---|---|", *rows, "", *ratios])


def measure_new_processes() -> str:
    """Return seconds to the first result and MiB for a long cine, each in a separate process."""
    with TemporaryDirectory() as bytecode:
        compiling, first, cine = (
            _run_program(code, bytecode) for code in (_FIRST_RESULT, _FIRST_RESULT, _CINE)
        )
    return (
        f"first result of a new process: {first:.1f} s ({compiling:.1f} s including compiling modules)"
        f"\n500 frames of 1024 x 768: peak of {cine:.0f} MiB"
    )


def measure_peak_mib() -> float:
    """Return the peak memory of this process.

    In a child process, `resource.getrusage` includes the memory of the parent at the fork.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _run_program(code: str, bytecode: str) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(  # noqa: S603  # the fixed programs above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
