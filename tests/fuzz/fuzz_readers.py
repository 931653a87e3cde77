"""Every reader of what others wrote, under a coverage-guided fuzzer.

    pip install atheris
    python tests/fuzz/fuzz_readers.py FOLDER [-max_total_time=3600] [more of libFuzzer's options]

FOLDER is the corpus; an empty one is filled with seeds from the samples and the reference cases.
The first character of an input says which reader it is for, see :data:`READERS` and :data:`FILES`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference"
_MOST_PARAMETERS = 300
_MOST_PREDICTED = 20
_LONGEST_SEED = 8192


def read_text(text: str) -> None:
    """A spec in YAML or JSON, or a Keras model's JSON, to a summary in JSON."""
    _summarized(_initcli().parse(text))


def read_signal(text: str) -> None:
    """The same, to what theory predicts of the signal."""
    initcli = _initcli()
    from initcli.model import leaves
    from initcli.reports.record import json_text
    from initcli.reports.signal import SignalReport

    model = initcli.parse(text)
    # Every layer takes some milliseconds, in which the fuzzer would rather try other texts.
    if len(list(leaves(model.layers))) <= _MOST_PREDICTED:
        json_text(SignalReport.of(initcli.predict_signal(model)))


def read_weights(raw: bytes) -> None:
    """The bytes of a file of weights, of any format, to the values and the likely initializers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "weights")
        file.write_bytes(raw)
        _identified(file)


def read_pickle(raw: bytes) -> None:
    """The bytes of the pickle in an archive of PyTorch."""
    read_weights(_archive(raw, "archive/data.pkl", **{"archive/data/0": bytes(64)}))


def read_shards(raw: bytes) -> None:
    """An index before the first NUL, and the file behind it, which is called ``a`` and ``b``."""
    index, _, shard = raw.partition(b"\0")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.index.json")
        file.write_bytes(index)
        for name in "ab":
            Path(folder, name).write_bytes(shard)
        _identified(file)


def _identified(file: Path) -> None:
    from initcli.limits import limited
    from initcli.reports.identify import matched
    from initcli.reports.record import json_text
    from initcli.reports.summary import SummaryReport
    from initcli.reports.tensors import summarize
    from initcli.sources.weights.read import checkpoint

    with limited(unpacked_bytes=10**7):
        found = checkpoint(str(file))
        if found is not None:
            json_text(SummaryReport.of(found, matched(found, summarize(found))))


def read_archive(raw: bytes) -> None:
    """The bytes of a file that may be a .keras archive."""
    initcli = _initcli()
    with tempfile.NamedTemporaryFile(suffix=".keras", delete=False) as file:
        file.write(raw)
    try:
        _summarized(initcli.load(file.name))
    finally:
        Path(file.name).unlink()


def edit_text(text: str) -> None:
    """A text whose value at a path, given by numbers before the first NUL, changes."""
    from initcli.documents.edit import Change, edited
    from initcli.sources.read import parse

    steps, _, spec = text.partition("\0")
    data = parse(spec).data
    path: list[str | int] = []
    for step in steps:
        keys: list[Any] = []
        if isinstance(data, dict):
            keys = list(data)
        elif isinstance(data, list):
            keys = list(range(len(data)))
        if not keys:
            break
        path.append(keys[ord(step) % len(keys)])
        data = data[path[-1]]
    for value in ("he_normal", {"type": "Constant", "value": 1.5}):
        edited(spec, "<text>", [Change(tuple(path), value)])


def read_limits(text: str) -> None:
    """Limits as the command line takes them, one a line."""
    from initcli.limits import from_options

    from_options(text.split("\n"))


def override_text(text: str) -> None:
    """An override as ``--set`` takes it, before the first NUL, of the spec behind it."""
    from initcli.sources.building import build
    from initcli.sources.overrides import overridden
    from initcli.sources.read import parse

    change, _, spec = text.partition("\0")
    _summarized(build(overridden(parse(spec), [change])))


FILES: dict[str, Callable[[bytes], None]] = {
    "k": read_archive,
    "w": read_weights,
    "p": read_pickle,
    "x": read_shards,
}
READERS: dict[str, Callable[[str], None]] = {
    "t": read_text,
    "s": read_signal,
    "e": edit_text,
    "o": override_text,
    "l": read_limits,
}


def try_one(data: bytes) -> None:
    """Read one input; whatever is raised is a bug."""
    from initcli import InitcliError

    kind, rest = data[:1].decode("latin-1"), data[1:]
    try:
        if kind in FILES:
            FILES[kind](rest)
        elif kind in READERS:
            READERS[kind](rest.decode("utf-8", "surrogatepass" if kind == "e" else "replace"))
    except (InitcliError, UnicodeDecodeError):
        pass


def _initcli() -> Any:
    return import_module("initcli")


def _summarized(model: Any) -> None:
    from initcli.reports.record import json_text
    from initcli.reports.summary import SummaryReport
    from initcli.reports.tensors import theory

    if len(model.parameters) <= _MOST_PARAMETERS:
        json.loads(json_text(SummaryReport.of(model, theory(model))))


def seeds() -> Iterator[bytes]:
    """Small inputs of every kind."""
    import yaml

    for file in sorted((ROOT / "sample_configs").iterdir()):
        if file.suffix in (".yaml", ".json"):
            yield from _for_texts(file.read_text("utf-8"))
    for name in ("layer_cases.yaml", "call_cases.yaml"):
        cases = yaml.safe_load((REFERENCE / name).read_text("utf-8"))
        for kind, tried in cases.get("accepted", cases).items():
            if isinstance(tried, list) and tried and isinstance(tried[0], list):
                yield from _for_texts(json.dumps(_stack(kind, *tried[0])))
                yield from _for_texts(yaml.safe_dump(_stack(kind, *tried[-1])))
    for spec in yaml.safe_load((REFERENCE / "training_cases.yaml").read_text("utf-8")).values():
        spec.pop("about", None)
        yield from _for_texts(yaml.safe_dump(spec))
    for keras in ("keras2", "keras3"):
        raw = gzip.decompress((REFERENCE / f"{keras}_models.json.gz").read_bytes())
        for model in json.loads(raw)["models"].values():
            text = json.dumps(model["json"])
            yield from _for_texts(text)
            if len(text) <= _LONGEST_SEED:
                yield b"k" + _archive(text.encode(), "config.json")
    yield from weights_seeds()


def weights_seeds() -> Iterator[bytes]:
    """Small files of weights of every format, and two files with an index."""
    for file in sorted((REFERENCE / "weights").iterdir()):
        if file.is_file():
            raw = file.read_bytes()
            yield b"w" + raw
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    texts = [name for name in archive.namelist() if name.endswith("data.pkl")]
                    yield from (b"p" + archive.read(name) for name in texts)
    shard = (REFERENCE / "weights" / "safetensors.safetensors").read_bytes()
    yield b'x{"weight_map": {"scalar": "a", "empty": "a"}}\0' + shard


OVERRIDES = (
    "layers.0.units=128",
    "layers.**.kernel_initializer={type: Constant, value: 0.1}",
    "layers[type=Dense].activation=relu",
    "layers.*.name=x",
    "seed=3",
)


def _for_texts(text: str) -> Iterator[bytes]:
    if len(text) <= _LONGEST_SEED:
        yield f"t{text}".encode()
        yield f"s{text}".encode()
        yield f"e\x02\x01\0{text}".encode()
        yield f"o{OVERRIDES[len(text) % len(OVERRIDES)]}\0{text}".encode()


def _stack(kind: str, shape: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """A layer on an input, or on several."""
    if not (shape and isinstance(shape[0], list)):
        return {"input_shape": shape, "layers": [{"type": kind, **arguments}]}
    names = [f"in{index}" for index in range(len(shape))]
    inputs = [{"type": "Input", "name": n, "shape": s} for n, s in zip(names, shape, strict=True)]
    return {"layers": [*inputs, {"type": kind, "inputs": names, **arguments}]}


def _archive(main: bytes, name: str, **others: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for each, content in {name: main, **others}.items():
            archive.writestr(each, content)
    return stream.getvalue()


def words() -> Iterator[str]:
    """What specs are made of: the names of everything known, and what YAML and JSON mark."""
    from initcli.activations import known_activations
    from initcli.initializers import known_initializers
    from initcli.layers import known_layers

    for known in (known_layers(), known_initializers(), known_activations()):
        for name, cls in known.items():
            yield name
            yield from cls.__struct_fields__
    yield from _KEYS.split()
    yield from ("{", "}", "[", "]", ": ", ", ", "- ", "\n", '"', "'", "!!int ", "|\n", "? ")


_KEYS = """
    input_shape layers type name inputs outputs call repeat extends output initializers seed dtype
    defaults batch_size input reverse class_name config module registered_name inbound_nodes
    build_config __keras_tensor__ keras_history args kwargs input_layers output_layers keras.layers
    batch_shape batch_input_shape TFOpLambda Functional Sequential null true false .nan .inf
    Infinity 1e400 -1 0x10 0o7 <<: &a *a"""


def main() -> None:
    """Fuzz until the time is over or something comes out that is no message for a person."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["initcli", "yaml", "zipfile", "pickle"]):
        for module in _modules():
            # Those about frameworks and compiled kernels need what is not installed here.
            with suppress(ImportError):
                import_module(module)
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders and not any(os.scandir(folders[0])):
        for index, seed in enumerate(seeds()):
            Path(folders[0], f"seed{index:04}").write_bytes(seed)
    known = sorted(set(words()))
    with tempfile.TemporaryDirectory() as scratch:
        dictionary = Path(scratch, "words")
        escaped = (re.sub(r'["\\]|[^ -~]', lambda m: f"\\x{ord(m[0]):02x}", word) for word in known)
        dictionary.write_text("".join(f'"{word}"\n' for word in escaped), "ascii")
        atheris.Setup(
            [
                *sys.argv,
                f"-dict={dictionary}",
                "-use_value_profile=1",
                "-timeout=20",
                "-rss_limit_mb=1000",
            ],
            try_one,
        )
        atheris.Fuzz()


def _modules() -> Iterator[str]:
    package = ROOT / "initcli"
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if not {"commands", "render", "__init__", "__main__", "cli"} & set(parts):
            yield ".".join(parts)


if __name__ == "__main__":
    main()
