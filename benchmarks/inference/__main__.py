"""Speed of class, mask and Grad-CAM for a frame, side by side in one run.

Run it as ``python -m benchmarks.inference`` (``--rounds N`` for steadier numbers). These take turns
over the same frames, in one process, with the same weights:

- *Sonogate*: `models.predictor.Predictor` on batches of frames: scaling, one traced graph, masks
  and heat maps of the frame's size; looking at each frame once, and from both sides;
- *bare pass*: the preset's networks alone on the same batches and views, already scaled, as one
  traced graph;
- *published apps*: what web demonstrations of BUSI do for each image: ``model.predict`` of a
  classifier, ``model.predict`` of a segmenter, and a ``GradientTape`` for Grad-CAM. Classifier and
  segmenter are the two outputs of each of the same networks, cut to what they need; one view.

What counts is the ratio of medians in one run. Then fresh processes (Linux) tell how long the first
answer takes from the start of Python, and the highest memory over a cine of 500 frames, taken in
batches as the workers do. The first of them compiles the modules that it imports, as installing
may have done already, and is reported apart.
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

_FIRST: Final = """
import time; started = time.perf_counter()
import numpy as np
from models.predictor import Predictor
Predictor.load().predict([np.full((480, 640), 90, np.uint8)], batch_size=1)
print(time.perf_counter() - started)
"""
_CINE: Final = """
import numpy as np
from benchmarks.inference.__main__ import peak_mib
from models.predictor import Predictor
predictor, rng = Predictor.load(), np.random.default_rng(0)
for _ in range(0, 500, 8):
    predictor.predict(list(rng.integers(0, 200, (8, 768, 1024), dtype=np.uint8)), batch_size=8)
print(peak_mib())
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Inference speed, as ratios in one run.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=2)
    arguments = parser.parse_args()
    frames = [
        make_phantom("cyst", seed=seed, height=480, width=640).image
        for seed in range(BATCH * arguments.batches)
    ]
    medians = measure(ways(frames), arguments.rounds)
    print(table(medians, len(frames)))  # noqa: T201  # a report is what this program is for
    print(fresh_processes())  # noqa: T201


def ways(frames: Frames) -> dict[str, Callable[[], object]]:
    """Each way of getting class, mask and heat map of all frames, ready to be timed."""
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

    apps = [published_way(keras, tf, network, squares) for network in networks]
    return {
        **{f"Sonogate, {name}": sonogate(views) for views, name in VIEWS.items()},
        **{f"bare pass, {name}": bare_pass(tf, networks, squares, v) for v, name in VIEWS.items()},
        PUBLISHED: lambda: [run() for run in apps],
    }


def bare_pass(
    tf: Any, networks: Sequence[Any], squares: NDArray[np.uint8], views: int
) -> Callable[[], None]:
    """The networks alone, over batches of frames that are scaled already."""
    spec = tf.TensorSpec((BATCH * views, *squares.shape[1:]), tf.float32)
    bare = tf.function(lambda x: [network(x, training=False) for network in networks])
    passed = bare.get_concrete_function(spec)

    def run() -> None:
        for start in range(0, len(squares), BATCH):
            batch = np.repeat(squares[start : start + BATCH], views, axis=0)
            passed(tf.constant(batch, tf.float32))

    return run


def published_way(
    keras: Any, tf: Any, network: Any, squares: NDArray[np.uint8]
) -> Callable[[], None]:
    """Two ``model.predict`` calls and a ``GradientTape`` for each image."""
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
    """Median seconds of each, taking turns; a first round warms up and does not count."""
    seconds = defaultdict(list)
    for turn in range(rounds + 1):
        for name, run in named.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(medians: Mapping[str, float], frames: int) -> str:
    """Milliseconds a frame and the ratios, as Markdown."""
    rows = [f"| {name} | {1000 * value / frames:.0f} |" for name, value in medians.items()]
    ratios = [
        f"{views}: {medians[PUBLISHED] / medians[f'Sonogate, {views}']:.1f}x faster than the "
        "published way, "
        f"{medians[f'Sonogate, {views}'] / medians[f'bare pass, {views}']:.2f}x the bare pass"
        for views in VIEWS.values()
    ]
    return "\n".join(["| way | ms a frame |\n|---|---|", *rows, "", *ratios])


def fresh_processes() -> str:
    """Seconds to the first answer and MiB over a long cine, each in a process of its own."""
    with TemporaryDirectory() as bytecode:
        compiling, first, cine = (_printed(code, bytecode) for code in (_FIRST, _FIRST, _CINE))
    return (
        f"first answer of a fresh process: {first:.1f} s ({compiling:.1f} s with modules to compile)"
        f"\n500 frames of 1024 x 768: at most {cine:.0f} MiB"
    )


def peak_mib() -> float:
    """The highest memory of this process so far.

    `resource.getrusage` would tell a child that of its parent at the fork.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _printed(code: str, bytecode: str) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(  # noqa: S603  # fixed programs, see above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
