"""initcli beside PyTorch, Keras and JAX: the cost of a weight that is drawn and measured.

To be run by a Python that has the peers, in an environment of their own:

    python -m venv peers && peers/bin/pip install torch keras tensorflow-cpu jax matplotlib psutil
    peers/bin/python tests/benchmarks/peers.py --initcli "$(command -v initcli)"

`--fast` names an initcli in an environment that also has Numba. With `--sizes`, nothing but initcli
is run, on models of 10⁴ to 10¹⁰ weights, and `sizes.md` is written. The first takes four minutes on
two idle cores, the second two.

Every job is a process of its own, and the tools take turns. A peer's time is that of the work alone
(tensors of 4096 × 4096: initialise in float32; mean, std, min, max and a histogram of 64 bins),
without its import and a first tensor; initcli's is that of the whole command, start included. Then
comes the story's script, a model with a figure of its histograms, beside ``initcli hist``: both
whole. Memory is the most that a job's processes held together. The tables are printed, and written
to ``peers.md`` beside this file; the README shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

SIDE = 4096
PEER_TENSORS = 4
"""Tensors that a peer draws; their number does not change the cost of a weight."""
OUR_TENSORS = 60
ROUNDS = 3
DISTRIBUTIONS = ("normal", "uniform", "truncated normal")
PEERS = {
    "torch": "PyTorch {torch}",
    "tensorflow": "Keras {keras} on TensorFlow {tensorflow}",
    "jax": "JAX {jax}",
}
OURS = "initcli"
FAST = "initcli with Numba"
SIZES = [10**exponent for exponent in range(4, 11)]
LARGEST = 405_853_388_800
"""Weights of llama3_405b.yaml, whose time follows from that of the largest size."""
STORY = "the story's script"
HERE = Path(__file__).parent
TOUR = HERE.parents[1] / "sample_configs" / "tour.yaml"


# ------------------------------------------------------------------------ the peers' jobs


def torch_job(distribution):
    """Initialise with torch.nn.init and measure with torch."""
    import torch

    fill = {
        "normal": lambda w: torch.nn.init.normal_(w, std=0.05),
        "uniform": lambda w: torch.nn.init.uniform_(w, -0.05, 0.05),
        "truncated normal": lambda w: torch.nn.init.trunc_normal_(w, std=0.05, a=-0.1, b=0.1),
    }[distribution]

    @torch.no_grad()
    def job(_):
        w = fill(torch.empty(SIDE, SIDE))
        low, high = torch.aminmax(w)
        std, mean = torch.std_mean(w)
        counts = torch.histc(w, 64, float(low), float(high))
        return float(mean), float(std), float(low), float(high), counts.numpy()

    return job


def tensorflow_job(distribution):
    """Initialise with keras.initializers and measure with TensorFlow."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    kind = {
        "normal": keras.initializers.RandomNormal,
        "uniform": keras.initializers.RandomUniform,
        "truncated normal": keras.initializers.TruncatedNormal,
    }[distribution]

    def job(seed):
        w = kind(seed=seed)((SIDE, SIDE), dtype="float32")
        mean, variance = tf.nn.moments(w, [0, 1])
        low, high = tf.reduce_min(w), tf.reduce_max(w)
        counts = tf.histogram_fixed_width(w, [low, high], 64)
        return float(mean), float(variance) ** 0.5, float(low), float(high), counts.numpy()

    return job


def jax_job(distribution):
    """Initialise with jax.nn.initializers and measure with jax.numpy, compiled."""
    import jax
    import jax.numpy as jnp

    def uniform(key, shape):
        return jax.random.uniform(key, shape, minval=-0.05, maxval=0.05)

    fill = {
        "normal": jax.nn.initializers.normal(0.05),
        "uniform": uniform,
        "truncated normal": jax.nn.initializers.truncated_normal(0.05),
    }[distribution]

    @jax.jit
    def measured(key):
        w = fill(key, (SIDE, SIDE))
        return w.mean(), w.std(), w.min(), w.max(), jnp.histogram(w, 64)[0]

    def job(seed):
        return jax.device_get(measured(jax.random.key(seed)))

    return job


def story_job():
    """The story: a model with initializers of several kinds, its summary and a 5×2 figure."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import matplotlib as mpl

    mpl.use("agg")
    from keras import initializers, layers
    from matplotlib import pyplot as plt

    constant = initializers.Constant(0.4)
    model = keras.Sequential(
        [
            keras.Input((128, 64)),
            layers.Conv1D(16, 3, activation="relu", kernel_initializer="random_uniform"),
            layers.MaxPooling1D(4),
            layers.Flatten(),
            layers.Dense(
                64, activation="relu", kernel_initializer="he_uniform", bias_initializer="ones"
            ),
            layers.Dense(
                64,
                activation="relu",
                kernel_initializer=initializers.RandomNormal(stddev=0.05),
                bias_initializer=constant,
            ),
            layers.Dense(
                8,
                activation="relu",
                kernel_initializer=initializers.Orthogonal(),
                bias_initializer=constant,
            ),
            layers.Dense(64, kernel_initializer=initializers.RandomNormal(stddev=1.0)),
        ]
    )
    model.summary()
    figure, rows = plt.subplots(5, 2, figsize=(12, 16))
    figure.subplots_adjust(hspace=0.5)
    weights = (weight for layer in model.layers for weight in layer.weights)
    for axes, weight in zip(rows.flat, weights, strict=True):
        axes.hist(weight.numpy().ravel(), bins=50)
        axes.set_title(weight.path)
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(Path(folder) / "story.png")


JOBS = {"torch": torch_job, "tensorflow": tensorflow_job, "jax": jax_job}


def run_peer(peer, distribution):
    """Do a peer's job on some tensors after a first that does not count; print seconds a weight."""
    job = JOBS[peer](distribution)
    job(0)
    begun = perf_counter()
    for seed in range(1, PEER_TENSORS + 1):
        mean, std, low, high, counts = job(seed)
        assert abs(mean) < 1e-3 < std < 0.1
        assert low < mean < high
        # TensorFlow and PyTorch count in single precision, and lose some at the upper edge.
        assert abs(int(counts.sum()) - SIDE**2) < 1e-3 * SIDE**2
    print(json.dumps((perf_counter() - begun) / (PEER_TENSORS * SIDE**2)))


# ------------------------------------------------------------------------ running and reporting


def spec(distribution):
    """A stack of the peers' tensors."""
    initializer = {
        "normal": "random_normal",
        "uniform": "random_uniform",
        "truncated normal": "truncated_normal",
    }[distribution]
    layer = {"type": "Dense", "units": SIDE, "use_bias": False, "kernel_initializer": initializer}
    return {"input_shape": [SIDE], "layers": [{"repeat": OUR_TENSORS, "layers": [layer]}]}


def run(command):
    """What a command prints, its seconds, and the most bytes that it and its children held."""
    import psutil

    # Python's modules are compiled once, as those of installed tools are.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    begun = perf_counter()
    # Into a file: a pipe that nobody empties would stop it.
    with tempfile.TemporaryFile("w+") as printed:
        command = [str(part) for part in command]
        process = psutil.Popen(command, stdout=printed, env=environment)
        most = 0
        while process.poll() is None:
            held = 0
            for one in [process, *children(process)]:
                try:
                    held += one.memory_info().rss
                except psutil.Error:
                    continue
            most = max(most, held)
            sleep(0.01)
        seconds = perf_counter() - begun
        if process.returncode:
            sys.exit(f"{command} failed")
        printed.seek(0)
        return printed.read(), seconds, most


def children(process):
    """The processes that a process has started, unless it has just ended."""
    import psutil

    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def sizes(commands):
    """Time and memory of a summary of models of growing size, in Markdown."""
    names = " | ".join(f"{name}, time | memory" for name in commands)
    lines = [f"| weights | {names} |", f"| --- {'| --- ' * (2 * len(commands))}|"]
    last = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        for size in SIZES:
            side = min(round(size**0.5), SIDE)
            layer = {"type": "Dense", "units": side, "use_bias": False}
            layers = [{"repeat": max(round(size / side**2), 1), "layers": [layer]}]
            path.write_text(json.dumps({"input_shape": [side], "layers": layers}))
            cells = []
            for name, command in commands.items():
                rounds = ROUNDS if size < 10**9 else 1
                turns = [run([command, "summary", path, "--format", "csv"]) for _ in range(rounds)]
                seconds = min(turn[1] for turn in turns)
                held = max(turn[2] for turn in turns)
                last[name] = seconds / layers[0]["repeat"] / side**2, held
                cells.append(f"{seconds:.2g} s | {held / 2**20:.0f} MiB")
            lines.append(f"| 10{superscript(size)} | {' | '.join(cells)} |")
    cells = [f"{rate * LARGEST / 60:.0f} min, by that rate | as much" for rate, _ in last.values()]
    lines.append(f"| {LARGEST:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def superscript(size):
    """The exponent of a power of ten."""
    return str(len(str(size)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def compared(commands):
    """Every tool's (seconds a weight, bytes) by distribution, and both ways of the story."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for distribution in DISTRIBUTIONS:
            (Path(folder) / f"{distribution}.json").write_text(json.dumps(spec(distribution)))
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
            for distribution in DISTRIBUTIONS:
                for peer in JOBS:
                    printed, _, held = run([sys.executable, __file__, "--job", peer, distribution])
                    cost = json.loads(printed.splitlines()[-1])
                    found.setdefault((peer, distribution), []).append((cost, held))
                for name, command in commands.items():
                    path = Path(folder) / f"{distribution}.json"
                    _, seconds, held = run([command, "summary", path])
                    cost = seconds / OUR_TENSORS / SIDE**2
                    found.setdefault((name, distribution), []).append((cost, held))
            _, *story = run([sys.executable, __file__, "--job", STORY, ""])
            found.setdefault((STORY, ""), []).append(story)
            _, *ours = run([commands[OURS], "hist", TOUR, "--out", Path(folder) / "plots"])
            found.setdefault((OURS, ""), []).append(ours)
    return found


def tables(found):
    """Both tables, in Markdown."""
    from importlib.metadata import PackageNotFoundError, version

    class Versions(dict):
        def __missing__(self, name):
            try:
                return version(name)
            except PackageNotFoundError:
                return version(f"{name}-cpu")

    def middle(key, column):
        return statistics.median(turn[column] for turn in found[key])

    def mebibytes(keys):
        return f"{max(middle(key, 1) for key in keys) / 2**20:,.0f} MiB"

    lines = [
        f"| | {' | '.join(DISTRIBUTIONS)} | memory |",
        f"| --- {'| --- ' * (len(DISTRIBUTIONS) + 1)}|",
    ]
    names = {peer: PEERS[peer].format_map(Versions()) for peer in JOBS}
    ours = {OURS: "`initcli summary`, its start included", FAST: "the same with Numba"}
    ours = {tool: name for tool, name in ours.items() if (tool, DISTRIBUTIONS[0]) in found}
    for tool, name in {**names, **ours}.items():
        keys = [(tool, distribution) for distribution in DISTRIBUTIONS]
        costs = [f"{middle(key, 0) * 1e9:.2g} ns" for key in keys]
        memory = mebibytes(keys)
        lines.append(f"| {name} | {' | '.join(costs)} | {memory} |")
    best_of_ours = list(ours)[-1]
    best = [
        min(middle((peer, each), 0) for peer in JOBS) / middle((best_of_ours, each), 0)
        for each in DISTRIBUTIONS
    ]
    lines.append(f"| the fastest peer takes | {' | '.join(f'{x:.1f} ×' for x in best)} | |")
    lines += ["", "| ten histograms of the tour | time | memory |", "| --- | --- | --- |"]
    for key, name in (
        ((STORY, ""), f"the same model and figure in {names['tensorflow']}"),
        ((OURS, ""), "`initcli hist sample_configs/tour.yaml --out plots/`"),
    ):
        lines.append(f"| {name} | {middle(key, 0):.1f} s | {mebibytes([key])} |")
    return "\n".join(lines) + "\n"


def main():
    """Compare, or do one of the jobs."""
    parser = argparse.ArgumentParser(description="Compare initcli with its peers.")
    parser.add_argument("--initcli", default="initcli", help="the command")
    parser.add_argument("--fast", help="the command where Numba is installed")
    parser.add_argument("--sizes", action="store_true", help="run initcli alone, by size")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    commands = {OURS: arguments.initcli, FAST: arguments.fast}
    commands = {name: command for name, command in commands.items() if command is not None}
    if arguments.sizes:
        report = sizes(commands)
        (HERE / "sizes.md").write_text(report, "utf-8")
        print(report)
    elif arguments.job is None:
        report = tables(compared(commands))
        (HERE / "peers.md").write_text(report, "utf-8")
        print(report)
    elif arguments.job[0] == STORY:
        story_job()
    else:
        run_peer(*arguments.job)


if __name__ == "__main__":
    main()
