"""initcli beside safetensors with NumPy, and beside sft-cli: the cost of a weight that is stored.

To be run by a Python that has the peers, in an environment of their own:

    python -m venv peers && peers/bin/pip install sft-cli safetensors numpy ml-dtypes
    peers/bin/python tests/benchmarks/weights_peers.py --initcli "$(command -v initcli)"

Every job is a process of its own, start included, on files in the page cache; the tools take turns,
and the least of three rounds counts. NumPy loads each tensor and takes mean, standard deviation,
least and greatest value; ``sft stat`` adds the shares of zeros and NaNs; ``initcli summary`` adds a
histogram and the initializer that the values look like. Times are processor seconds of all threads:
those of the wall depend on what else a machine does. Memory is the most that a process held, mapped
pages of the file included. The table is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

TENSORS = 32
SIDE = 2048
MANY = 100_000
ROUNDS = 3
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}

NUMPY = """
import sys, ml_dtypes, numpy as np
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    for name in file.keys():
        wide = file.get_tensor(name).astype(np.float32)
        wide.mean(), wide.std(), wide.min(), wide.max()
"""
NUMPY_LIST = """
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    for name in file.keys():
        part = file.get_slice(name)
        print(name, part.get_dtype(), part.get_shape())
"""


def written(file, dtype, shapes):
    """Write tensors of N(0, 0.02²), in the layout of safetensors."""
    import numpy as np

    header, end = {}, 0
    for place, shape in enumerate(shapes):
        size = int(np.prod(shape)) * ITEM_BYTES[dtype]
        offsets = [end, end + size]
        header[f"layers.{place}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    chance = np.random.default_rng(0)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes:
            values = 0.02 * chance.standard_normal(shape, np.float32)
            if dtype == "F16":
                values = values.astype(np.float16)
            elif dtype == "BF16":
                values = (values.view(np.uint32) >> 16).astype(np.uint16)
            stream.write(values.tobytes())


def cost(command):
    """Processor seconds and the most memory, in MiB, of a command, its output thrown away."""
    process = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    # The unit of ru_maxrss is a byte on macOS and KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20


def compared(commands):
    """The least cost of each command over rounds in which all take turns."""
    seen = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            seen[name].append(cost(command))
    return {name: tuple(map(min, zip(*costs, strict=True))) for name, costs in seen.items()}


def main():
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--initcli", default=shutil.which("initcli"), help="the command")
    parser.add_argument("--tensors", type=int, default=TENSORS, help="tensors of 2048 × 2048")
    options = parser.parse_args()
    initcli = options.initcli.split()
    sft = str(Path(sys.executable).with_name("sft"))
    python = sys.executable
    weights = options.tensors * SIDE * SIDE
    print(f"| file | tool | seconds | ns a weight | MiB |\n| {' | '.join(['---'] * 5)} |")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        for dtype in ITEM_BYTES:
            written(file, dtype, [(SIDE, SIDE)] * options.tensors)
            commands = {
                "initcli summary": [*initcli, "summary", str(file), "--format", "csv"],
                "safetensors + NumPy": [python, "-c", NUMPY, str(file)],
                "sft stat": [sft, "stat", str(file), "--json"],
            }
            for name, (seconds, memory) in compared(commands).items():
                each = f"{seconds / weights * 1e9:.2f}"
                print(f"| {weights:,} {dtype} | {name} | {seconds:.2f} | {each} | {memory:,.0f} |")
        written(file, "F32", [(2, 2)] * MANY)
        listing = ("summary", str(file), "--theory", "--format", "csv")
        commands = {
            "initcli summary --theory": [*initcli, *listing],
            "safetensors": [python, "-c", NUMPY_LIST, str(file)],
            "sft info": [sft, "info", str(file)],
        }
        for name, (seconds, memory) in compared(commands).items():
            print(f"| {MANY:,} tensors, listed | {name} | {seconds:.2f} | | {memory:,.0f} |")


if __name__ == "__main__":
    main()
