"""Speed of class, mask and Grad-CAM for a frame, side by side in one run.

Run it as ``python -m benchmarks.inference`` (``--rounds N`` for steadier numbers). Four ways take
turns over the same frames, in one process, with the same weights:

- *Sonogate*: `models.predictor.Predictor` on batches of frames: scaling, one traced graph, masks
  and heat maps of the frame's size;
- *bare pass*: the preset's networks alone on the same batches and views, already scaled, as one
  traced graph;
- *published apps*: what web demonstrations of BUSI do for each image: ``model.predict`` of a
  classifier, ``model.predict`` of a segmenter, and a ``GradientTape`` for Grad-CAM. Classifier and
  segmenter are the two outputs of each of the same networks, cut to what they need; one view.

What counts is the ratio of medians in one run. Then fresh processes tell how long the first answer
takes from the start of Python, and the highest memory over a cine of 500 frames.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.phantom import make_phantom

BATCH: Final = 8
Frames = Sequence[NDArray[np.uint8]]

_FIRST: Final = """
import time; started = time.perf_counter()
import numpy as np
from models.predictor import Predictor
Predictor.load().predict([np.full((480, 640), 90, np.uint8)], batch_size=8)
print(time.perf_counter() - started)
"""
_CINE: Final = """
import resource
import numpy as np
from models.predictor import Predictor
predictor, rng = Predictor.load(), np.random.default_rng(0)
for _ in range(0, 500, 8):
    predictor.predict(list(rng.integers(0, 200, (8, 480, 640), dtype=np.uint8)), batch_size=8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Inference speed, as ratios in one run.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=16)
    arguments = parser.parse_args()
    frames = [
        make_phantom("cyst", seed=seed, height=480, width=640).image
        for seed in range(arguments.frames)
    ]
    medians = measure(ways(frames), arguments.rounds)
    print(table(medians, len(frames)))  # noqa: T201  # a report is what this program is for
    print(fresh_processes())  # noqa: T201


def ways(frames: Frames) -> dict[str, Callable[[], object]]:
    """Each way of getting class, mask and heat map of all frames, ready to be timed."""
    import keras
    import tensorflow as tf

    from models.networks.inference import load_networks
    from models.predictor import Predictor
    from models.preprocess import letterbox
    from models.preset import DEFAULT_PRESET, read_preset

    preset, predictor = read_preset(DEFAULT_PRESET), Predictor.load()
    networks = load_networks(DEFAULT_PRESET, preset)
    size, views = preset.network.input_size_px, 2 if preset.mirrored else 1
    squares = np.stack([letterbox(frame, size)[0] for frame in frames])[..., None]
    bare = tf.function(lambda x: [network(x, training=False) for network in networks])
    passed = bare.get_concrete_function(tf.TensorSpec((BATCH * views, size, size, 1), tf.float32))

    def bare_pass() -> None:
        for start in range(0, len(squares), BATCH):
            batch = np.repeat(squares[start : start + BATCH], views, axis=0)
            passed(tf.constant(batch, tf.float32))

    apps = [published_way(keras, tf, network, squares) for network in networks]
    return {
        "Sonogate": lambda: predictor.predict(frames, batch_size=BATCH),
        "bare pass": bare_pass,
        "published apps": lambda: [run() for run in apps],
    }


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
    """Milliseconds a frame and the two ratios, as Markdown."""
    rows = [f"| {name} | {1000 * value / frames:.0f} |" for name, value in medians.items()]
    ours = medians["Sonogate"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return "\n".join(
        [
            "| way | ms a frame |\n|---|---|",
            *rows,
            f"\nfaster than the published way: {medians['published apps'] / ours:.1f}x",
            f"over the bare pass: {ours / medians['bare pass']:.2f}x",
            f"highest memory of this process: {peak:.0f} MiB",
        ]
    )


def fresh_processes() -> str:
    """Seconds to the first answer and MiB over a long cine, each in a process of its own."""
    first, cine = (
        float(
            subprocess.run(  # noqa: S603  # fixed programs, see above
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for code in (_FIRST, _CINE)
    )
    return f"first answer of a fresh process: {first:.1f} s\n500 frames: at most {cine:.0f} MiB"


if __name__ == "__main__":
    main()
