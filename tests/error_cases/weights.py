"""Files of weights that are damaged or hostile, of every format."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from error_cases.case import DENSE, Case
from support.paths import REFERENCE

FILES = REFERENCE / "weights"
Damaged = tuple[str, str, bytes]
"""What is wrong, the name of a file, and its content."""


def real(name: str) -> bytes:
    """A file that a real library wrote."""
    return (FILES / name).read_bytes()


def header(entries: dict[str, Any], data: int = 0) -> bytes:
    """A safetensors file with a header and some bytes of data."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(start: int, stop: int, shape: list[Any] | None = None) -> dict[str, Any]:
    """What the header says of a tensor."""
    shape = [(stop - start) // 4] if shape is None else shape
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A zip archive; two underscores in a name stand for a dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def torch_archive(pickled: bytes) -> bytes:
    """A PyTorch file with a pickle, and one storage of 16 bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", bytes(16))
    return stream.getvalue()


def torch_tensor(offset: int, shape: bytes, strides: bytes, key: bytes = b"0") -> bytes:
    """A pickle of one tensor of float32."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" + key
    storage += b"X\x03\x00\x00\x00cpuK\x04tQ"
    view = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K" + bytes([offset])
    return b"\x80\x02" + view + shape + strides + b"\x89}tR."


def npy(shape: str, descr: str = "'<f4'") -> bytes:
    """The header of an .npy file."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def gguf(tensors: int, facts: bytes = b"", count: int = 0, rest: bytes = b"") -> bytes:
    """A GGUF file."""
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + facts + rest


def gguf_text(text: bytes) -> bytes:
    """A text in a GGUF file."""
    return struct.pack("<Q", len(text)) + text


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def onnx(*fields: bytes) -> bytes:
    """An ONNX file with one tensor."""
    return b"\x08\x08" + field(2, b"x") + field(7, field(5, b"".join(fields)))


def of_safetensors() -> Iterator[Damaged]:
    """Safetensors files."""
    named = partial(lambda title, content: (title, "a.safetensors", content))
    yield named("truncated values", header({"a": entry(0, 8)}, 4))
    yield named("more bytes than tensors", header({"a": entry(0, 8)}, 12))
    yield named("overlapping tensors", header({"a": entry(0, 8), "b": entry(4, 12)}, 12))
    yield named("a gap", header({"a": entry(0, 4), "b": entry(8, 12)}, 12))
    yield named("a negative offset", header({"a": entry(-4, 4)}, 4))
    yield named("offsets in the wrong order", header({"a": entry(4, 0, [1])}, 4))
    yield named("a wrong size", header({"a": entry(0, 8, [3])}, 8))
    yield named("a huge shape", header({"a": entry(0, 8, [2**62, 2**62])}, 8))
    yield named("a negative shape", header({"a": entry(0, 4, [-1])}, 4))
    yield named("many axes", header({"a": entry(0, 4, [1] * 65)}, 4))
    yield named("a header that is no JSON", struct.pack("<Q", 9) + b'{"a": 1x}')
    yield named("a header of deep JSON", struct.pack("<Q", 5000) + b'{"a":' + b"[" * 4995)
    yield named("a long name", header({"a" * 1001: entry(0, 0)}))
    yield named("a gigantic header", struct.pack("<Q", 1 << 60) + b'{"a":')
    yield named("a truncated header", struct.pack("<Q", 1 << 10) + b'{"a":')
    yield named("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    yield named("something else", b"\0\1\2 what is this")
    name, both = "a.index.json", real("huggingface/model.safetensors.index.json")
    yield "an index to elsewhere", name, b'{"weight_map": {"a": "../spec.yaml"}}'
    yield "an index to itself", name, b'{"weight_map": {"a": "a.index.json"}}'
    yield "an index to nothing", name, both
    yield "an index of numbers", name, b'{"weight_map": {"a": 3}}'
    yield "an index with a NUL", name, b'{"weight_map": {"a": "\\u0000"}}'


def of_archives() -> Iterator[Damaged]:
    """Archives of NumPy and of PyTorch."""
    yield "a truncated archive", "a.npz", real("numpy.npz")[:-30]
    long = real("numpy.npz")
    first = long.index(b"PK\x01\x02")
    yield (
        "a damaged header in an archive",
        "a.npz",
        _patched(long, first + 42, "<I", 7),
    )
    yield "a member beyond the end", "a.npz", _patched(long, 28, "<H", 60_000)
    twice = archive(a__npy=b"", b__npy=b"").replace(b"b.npy", b"a.npy")
    yield "two members of one name", "a.npz", twice
    yield "an array without a header", "a.npz", archive(a__npy=b"nothing")
    yield "an array of strange shape", "a.npy", npy("'x'")
    yield "an array that is short", "a.npy", npy("(9, 9)")
    packed = bytearray(archive(zipfile.ZIP_DEFLATED, a__npy=npy("(999,)") + bytes(3996)))
    packed[45:49] = b"\xff" * 4
    yield "a packed array that is damaged", "a.npz", bytes(packed)
    good = npy("(9999,)") + np.random.default_rng(0).bytes(39_996)
    packed = bytearray(archive(zipfile.ZIP_DEFLATED, a__npy=good))
    packed[30_000:30_004] = b"\xff" * 4
    yield "packed values that are damaged", "a.npz", bytes(packed)
    short = archive(zipfile.ZIP_DEFLATED, a__npy=npy("(9999,)") + bytes(400))
    place = short.index(b"PK\x01\x02") + 24
    yield "packed values that are too few", "a.npz", _patched(short, place, "<I", 41_000)
    for title, pickled in (
        ("a damaged pickle", b"\x80\x02}(K\x01u."),
        ("a pickle of a program", b"\x80\x02cos\nsystem\n)R."),
        ("a tensor without values", torch_tensor(0, b"K\x02\x85", b"K\x01\x85", b"7")),
        ("negative strides", torch_tensor(0, b"K\x02\x85", b"J\xff\xff\xff\xff\x85")),
        ("a tensor beyond its storage", torch_tensor(3, b"K\x02\x85", b"K\x01\x85")),
        ("a value again and again", torch_tensor(0, b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")),
    ):
        yield title, "a.pt", torch_archive(pickled)
    yield "a bare pickle", "a.pt", b"\x80\x02}."
    yield (
        "a packed Keras file",
        "a.keras",
        archive(zipfile.ZIP_DEFLATED, config__json=b"{}", model__weights__h5=b"\x89HDF\r\n\x1a\n"),
    )


def _patched(content: bytes, place: int, kind: str, number: int) -> bytes:
    new = struct.pack(kind, number)
    return content[:place] + new + content[place + len(new) :]


def of_others() -> Iterator[Damaged]:
    """GGUF, ONNX and msgpack."""
    named = partial(lambda title, content: (title, "a.gguf", content))
    tensor = gguf_text(b"a") + struct.pack("<IQIQ", 1, 32, 2, 0)
    yield named("GGUF without its end", real("gguf.gguf")[:-40])
    yield named("GGUF of another version", b"GGUF" + struct.pack("<IQQ", 9, 0, 0))
    yield named("GGUF of very many tensors", gguf(2**60))
    yield named("GGUF with very many facts", gguf(0, count=2**60))
    yield named("GGUF with an unknown fact", gguf(0, gguf_text(b"a") + struct.pack("<I", 99), 1))
    lists = gguf_text(b"a") + struct.pack("<IIQ", 9, 9, 1)
    yield named("GGUF with lists of lists", gguf(0, lists, 1))
    zero = gguf_text(b"general.alignment") + struct.pack("<II", 4, 0)
    yield named("GGUF aligned to nothing", gguf(0, zero, 1))
    axes = gguf_text(b"a") + struct.pack("<I", 99)
    yield named("GGUF with many axes", gguf(1, rest=axes))
    odd = gguf_text(b"a") + struct.pack("<IQIQ", 1, 33, 2, 0)
    yield named("GGUF with a broken block", gguf(1, rest=odd))
    yield named("GGUF without its blocks", gguf(1, rest=tensor))
    plain = gguf_text(b"a") + struct.pack("<IQIQ", 1, 32, 0, 0)
    yield named("GGUF without its numbers", gguf(1, rest=plain))
    named = partial(lambda title, content: (title, "a.onnx", content))
    wrong = field(1, b"offset") + field(2, b"x")
    f32, two = b"\x10\x01", b"\x08\x02"
    yield named("ONNX without its end", real("onnx.onnx")[:-40])
    yield named("ONNX with a group", b"\x08\x08" + field(2, b"x") + b"\x3b")
    yield named("ONNX with an endless number", b"\x08\x08\x12" + b"\xff" * 20)
    yield named("ONNX of a wrong size", onnx(two, f32, field(9, bytes(4))))
    yield named("ONNX without values", onnx(two, f32))
    yield named("ONNX with a wrong offset", onnx(two, f32, field(13, wrong)))
    yield named("ONNX with open numbers", onnx(two, b"\x10\x06", field(5, b"\x01\xff")))
    yield named("ONNX with long numbers", onnx(two, b"\x10\x06", field(5, b"\xff" * 11 + b"\x01")))
    outside = field(1, b"location") + field(2, b"../x")
    yield named("ONNX with data elsewhere", onnx(two, f32, field(13, outside)))
    empty = field(5, b"\x08\x00" + f32)
    yield named("ONNX with a name twice", b"\x08\x08" + field(2, b"x") + field(7, empty * 2))
    named = partial(lambda title, content: (title, "a.msgpack", content))
    yield named("msgpack without its end", real("flax.msgpack")[:-40])
    yield named("msgpack and more", b"\x81\xa1a\x01\x01")
    yield named("deep mappings in msgpack", b"\x81\xa1a" * 200)
    yield named("deep lists in msgpack", b"\x81\xa1a" + b"\x91" * 200)
    yield named("msgpack with a number for a name", b"\x82\xa1a\x01\x01\x01")
    short = real("flax.msgpack").replace(b"\x92\x05\x07", b"\x92\x05\x06", 1)
    yield named("an array in msgpack of a wrong size", short)
    part = real("chunked.msgpack").replace(b"\xa10\x05", b"\xa10\x06", 1)
    yield named("parts in msgpack that do not fill", part)


def damaged() -> Iterator[Damaged]:
    """All of them."""
    yield from of_safetensors()
    yield from of_archives()
    yield from of_others()


def hdf5_files() -> Iterator[tuple[str, Any]]:
    """HDF5 files that refer to others, or are packed in ways that are not read."""
    import h5py

    def link(file: Any) -> None:
        file["a"] = h5py.ExternalLink("other.h5", "/a")

    def external(file: Any) -> None:
        file.create_dataset("a", (4,), "f4", external=[("other.bin", 0, 16)])

    def deep(file: Any) -> None:
        file.create_group("/".join(["a"] * 103))

    def huge(file: Any) -> None:
        file.create_dataset("a", (2**36,), "f4", chunks=(1024,))

    def wide(file: Any) -> None:
        file.create_dataset("a", (1, 2**27), "u1", chunks=(1, 1024))

    def scaled(file: Any) -> None:
        file.create_dataset("a", data=np.arange(100), scaleoffset=0)

    for make in (link, external, deep, huge, wide, scaled):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            make(file)
        yield make.__name__, stream.getvalue()


def cases() -> Iterator[Case]:
    """The cases of this module."""
    for title, name, content in damaged():
        yield Case(title, f"summary {name}", {name: content})
    for title, content in hdf5_files():
        yield Case(f"HDF5: {title}", "summary a.h5", {"a.h5": content})
    packed = real("packed.h5")
    yield Case("HDF5 without its end", "summary a.h5", {"a.h5": packed[:3000]})
    for title, place, byte in (("damaged", 2044, 32), ("with damaged values", 6311, 0)):
        yield Case(f"HDF5 {title}", "summary a.h5", {"a.h5": _patched(packed, place, "B", byte)})
    yield Case("HDF5 on standard input", "signal -", cause=_piped)
    yield Case("HDF5 without h5py", "summary a.h5", {"a.h5": packed}, cause=_without_h5py)
    weights = {"a.npy": real("alone.npy"), "a.h5": packed}
    for name in weights:
        yield Case(f"a signal of {name}", f"signal {name}", weights)
    yield Case("a seed for stored values", "summary a.npy --seed 1", weights)
    yield Case("too many tensors", "summary a.npz --limit tensors=1", {"a.npz": real("numpy.npz")})
    kernel = npy("(3, 2)") + bytes(24)
    two: dict[str, str | bytes] = {
        "a.npz": archive(a__npy=kernel, b__npy=kernel),
        "spec.yaml": DENSE,
    }
    yield Case("two tensors for one kernel", "summary spec.yaml --weights a.npz", two)
    yield Case("two tensors that may be a pair", "diff spec.yaml a.npz", two)
    yield Case("no weights to hold to", "check spec.yaml --weights b.npz", two)
    yield Case("a pair without weights", "check spec.yaml --map dense/kernel=a", two)
    for pair in ("dense/kernl=a", "dense/kernel=c", "dense/bias=a"):
        yield Case(f"the pair {pair}", f"hist spec.yaml --weights a.npz --map {pair}", two)
    yield Case(
        "no values to export",
        "export spec.yaml --out b.npz --weights a.npz",
        two | {"a.npz": archive(a__npy=kernel)},
    )
    yield Case("stored values to scale", "export a.npz --out b.npz --lsuv", two)
    yield Case(
        "no torch layout",
        "export spec.yaml --out b.npz --layout torch",
        {"spec.yaml": "{input_shape: [3, 3], layers: [{type: PReLU}]}"},
    )
    bomb = {"a.npz": archive(zipfile.ZIP_DEFLATED, a__npy=npy("(9999,)") + bytes(39_996))}
    yield Case("a bomb", "summary a.npz --limit unpacked_bytes=1000", bomb)
    names = {f"{place:0100}": b"" for place in range(1000)}
    many = archive(zipfile.ZIP_STORED, **names)
    yield Case("an archive of many", "summary a.npz --limit header_bytes=1000", {"a.npz": many})
    yield Case("a folder of several files", "summary sub", {"sub/a.npy": b"", "sub/b.npy": b""})
    yield Case("a folder without weights", "summary sub", {"sub/a.txt": b""})
    index = b'{"weight_map": {"a": "b.npy"}}'
    files = {"a.index.json": index, "b.npy": real("alone.npy")}
    yield Case("an index to a file without its tensor", "summary a.index.json", files)
    files = {"a.index.json": index, "b.npy": b"text"}
    yield Case("an index to a text", "summary a.index.json", {**files, "b.npy": b""})


def _without_h5py(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "h5py", None)


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def _piped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys, "stdin", io.TextIOWrapper(_Pipe(real("packed.h5"))))
