"""Export of values to a file for other programs: NumPy's .npz or .safetensors.

Tensors are drawn or read, and written, chunk by chunk; those that change their layout are held
in memory as a whole. The same model always gives the same bytes.
"""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import numpy as np
import numpy.random  # importing it while a file is written would lose an interrupt

from initcli.checkpoint import Subject
from initcli.distributions import Floats
from initcli.errors import OutputError, listed, printable, quoted
from initcli.files import written_whole
from initcli.frameworks.torch_layout import Entry
from initcli.measuring.portions import Progress
from initcli.parameter import Parameter
from initcli.sampling.chunks import (
    CHUNK,
    chunk_count,
    draw,
    draw_chunks,
    refuse_beyond_memory,
    scratch_bytes,
    working_dtype,
)
from initcli.sources.pairing import in_keras_layout
from initcli.sources.torch_file import torch_file
from initcli.sources.weights.safetensors import DTYPES
from initcli.types import BYTES, NUMPY, TensorDtype

_MAX_NAME_BYTES = 65_000
"""A little below the limit of the zip format."""

Layout = Literal["keras", "torch"]
"""The framework whose names and layout the tensors get."""

Dtypes = Mapping[str, str]
_SAFETENSORS: Dtypes = {
    dtype: code for dtype, code in NUMPY.items() if not dtype.startswith("float8")
}
_NPZ: Dtypes = {dtype: code for dtype, code in _SAFETENSORS.items() if dtype != "bfloat16"}
_SAFETENSORS_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_OTHERWISE: TensorDtype = "float32"
"""The dtype for tensors that are packed in blocks, or whose dtype the format lacks."""


def export(
    model: Subject,
    file: str | PathLike[str],
    *,
    layout: Layout = "keras",
    only: Iterable[Parameter] | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write the values of every parameter, sampled or stored, into one file.

    Each tensor has its path as name and the shape of Keras, or the name and shape of
    :func:`torch_file` for PyTorch. The file lists tensors in the model's order, which is that of
    Keras's ``set_weights``; the data of a ``.safetensors`` file is sorted by width of the dtype.

    Args:
        model: the model to export, or the weights of a file.
        file: the file to write or replace; its name ends in ``.npz`` or ``.safetensors``.
        layout: the framework whose names and layout the tensors get.
        only: parameters to export, such as :meth:`Model.matching` returns; all by default.
        progress: called with the number of weights after each chunk.

    Returns:
        Notes on tensors that are stored as float32 because the format lacks their dtype.

    Raises:
        OutputError: the file cannot be written, does not fit on the disk, or has another suffix.
        InvalidSpec: layers have no counterpart in PyTorch.
        TooLarge: a tensor does not fit in memory.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli, numpy, tempfile
    >>> model = initcli.load("sample_configs/tour.yaml")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/weights.npz"
    ...     initcli.export(model, file)
    ...     numpy.load(file)["dense/kernel"].shape
    []
    (496, 64)
    """
    file = Path(file)
    suffix = file.suffix.lower()
    if suffix not in _WRITERS:
        raise OutputError(f"{printable(str(file))}: the file's name must end in {listed(SUFFIXES)}")
    write, dtypes = _WRITERS[suffix]
    wanted = _readable(model, model.parameters if only is None else only)
    if layout == "torch":
        entries = torch_file(model, frozenset(each.path for each in wanted))
    else:
        entries = [Entry(each.path, each.shape, (each,)) for each in wanted]
    entries = _rearranged(model, entries)
    for entry in entries:
        for parameter in entry.sources:
            whole = 2 * parameter.size * working_dtype(parameter.dtype).itemsize
            needed = scratch_bytes(parameter) if entry.convert is None else whole
            refuse_beyond_memory(parameter, needed)
        name = entry.name.encode("utf-8", "replace")
        if name.decode() != entry.name or b"\0" in name or len(name) > _MAX_NAME_BYTES:
            raise OutputError(f"{quoted(entry.name)} cannot be a name in a file")
    with written_whole(file) as stream:
        _refuse_beyond_disk(file, sum(_bytes(each, dtypes) for each in entries))
        write(stream, entries, progress)
    return list(_notes(wanted, dtypes))


def _readable(model: Subject, parameters: Iterable[Parameter]) -> list[Parameter]:
    """Parameters with values, sampled or stored.

    Raises:
        OutputError: stored values are missing, or cannot be read.
    """
    wanted = list(parameters)
    missing = [each.path for each in wanted if each.stored and each.stored.storage is None]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise OutputError(
            f"{model.name} has no stored values of {quoted(missing[0])}{more} that can be written",
            "choose other tensors with --filter",
        )
    return wanted


def _rearranged(model: Subject, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, with values converted to Keras's layout from that of their file."""
    pairs = [(each, each.stored) for each in model.parameters if each.stored]
    stored = in_keras_layout(pairs, model)

    def changed(parameter: Parameter) -> Parameter:
        own = stored.get(parameter.path, parameter.stored)
        return msgspec.structs.replace(parameter, stored=own)

    return [
        msgspec.structs.replace(each, sources=tuple(map(changed, each.sources))) for each in entries
    ]


def _notes(parameters: Iterable[Parameter], dtypes: Dtypes) -> Iterator[str]:
    """Notes on tensors that are stored in another dtype."""
    others = [each.dtype for each in parameters if each.dtype not in dtypes]
    if others:
        who = "NumPy has no" if dtypes is _NPZ else "initcli exports no"
        kinds = listed(dict.fromkeys(others))
        some = "1 tensor is" if len(others) == 1 else f"{len(others):,} tensors are"
        yield f"{who} {kinds}, so {some} stored as float32, with the same numbers"


def _write_npz(stream: BinaryIO, entries: Sequence[Entry], progress: Progress | None) -> None:
    """Write a zip file of ``.npy`` files, as :func:`numpy.savez` does with arrays in memory."""
    with zipfile.ZipFile(stream, "w") as archive:
        for entry in entries:
            # The time and the system would differ from run to run.
            member = zipfile.ZipInfo(date_time=(1980, 1, 1, 0, 0, 0))
            member.filename = f"{entry.name}.npy"  # ZipInfo would replace \ on Windows
            member.create_system = 3
            with archive.open(member, "w", force_zip64=True) as npy:
                descr = _NPZ[_dtype(entry, _NPZ)]
                header = {"descr": descr, "fortran_order": False, "shape": entry.shape}
                np.lib.format.write_array_header_1_0(npy, header)
                for content in _content(entry, _NPZ, progress):
                    npy.write(content)


def _write_safetensors(
    stream: BinaryIO, entries: Sequence[Entry], progress: Progress | None
) -> None:
    """Write the length of the header, the header as JSON padded to 8 bytes, and the values."""
    # Widest first, so that every tensor is aligned to its dtype; the header keeps their order.
    ordered = sorted(entries, key=lambda each: -BYTES[_dtype(each, _SAFETENSORS)])
    offsets = {}
    end = 0
    for entry in ordered:
        start, end = end, end + _bytes(entry, _SAFETENSORS)
        offsets[entry.name] = start, end
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    for entry in entries:
        header[entry.name] = {
            "dtype": _SAFETENSORS_NAMES[_dtype(entry, _SAFETENSORS)],
            "shape": entry.shape,
            "data_offsets": offsets[entry.name],
        }
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for entry in ordered:
        for content in _content(entry, _SAFETENSORS, progress):
            stream.write(content)


def _content(entry: Entry, dtypes: Dtypes, progress: Progress | None) -> Iterator[memoryview]:
    """The values of a tensor as a file stores them, chunk by chunk."""
    dtype = dtypes[_dtype(entry, dtypes)]
    for values in _values(entry):
        # The upper 16 bits of a float32 are a bfloat16.
        halves = dtype == "<u2" and entry.sources[0].dtype == "bfloat16"
        stored = values.view(np.uint32) >> 16 if halves else values
        yield np.ascontiguousarray(stored, dtype).data
        if progress is not None:
            progress(values.size)


def _values(entry: Entry) -> Iterator[Floats]:
    if entry.convert is None:
        (parameter,) = entry.sources
        yield from draw_chunks(parameter, range(chunk_count(parameter)))
        return
    flat = np.ascontiguousarray(entry.convert(*map(_drawn, entry.sources))).reshape(-1)
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK]


def _drawn(parameter: Parameter) -> Floats:
    return draw(parameter).reshape(parameter.shape)


def _dtype(entry: Entry, dtypes: Dtypes) -> TensorDtype:
    """The dtype in which a tensor is written."""
    dtype = entry.sources[0].dtype
    return dtype if dtype in dtypes else _OTHERWISE


def _bytes(entry: Entry, dtypes: Dtypes) -> int:
    return math.prod(entry.shape) * np.dtype(dtypes[_dtype(entry, dtypes)]).itemsize


def _refuse_beyond_disk(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise OutputError(
            f"{printable(str(file))}: cannot be written: it takes {needed / 2**20:,.1f} MiB, and "
            f"{free / 2**20:,.1f} MiB of the disk are free"
        )


Writer = Callable[[BinaryIO, Sequence[Entry], Progress | None], None]
_WRITERS: dict[str, tuple[Writer, Dtypes]] = {
    ".npz": (_write_npz, _NPZ),
    ".safetensors": (_write_safetensors, _SAFETENSORS),
}
SUFFIXES = tuple(_WRITERS)
"""Suffixes of the files that can be written."""
