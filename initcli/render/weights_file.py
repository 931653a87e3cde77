"""Exporting sampled values as a file for other programs: NumPy's .npz or .safetensors.

Tensors are named by their paths, sampled and written chunk by chunk. The same model always gives
the same bytes.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.random  # its import would lose an interrupt while a file is written

from initcli.errors import OutputError, listed, printable, quoted
from initcli.files import written_whole
from initcli.measuring.measurement import Progress
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.chunks import chunk_count, draw_chunks, refuse_beyond_memory, scratch_bytes
from initcli.sources.weights.safetensors import DTYPES
from initcli.stored import NUMPY
from initcli.types import BYTES, TensorDtype

_MAX_NAME_BYTES = 65_000
"""A little below the limit of the zip format."""

Dtypes = Mapping[TensorDtype, str]
_NPZ: Dtypes = {**NUMPY, "bfloat16": "<f4"}  # NumPy has no bfloat16
_SAFETENSORS: Dtypes = NUMPY
_SAFETENSORS_NAMES: Dtypes = {dtype: name for name, dtype in DTYPES.items()}


def export(
    model: Model,
    file: str | PathLike[str],
    *,
    only: Iterable[Parameter] | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write the sampled values of every parameter into one file, each under its path.

    Shapes are those of Keras. An ``.npz`` file keeps the model's order, which is that of Keras's
    ``set_weights``; a ``.safetensors`` file starts with the tensors of the widest dtype.

    Args:
        model: the model to export.
        file: the file to write or replace; its name ends in ``.npz`` or ``.safetensors``.
        only: parameters to export, such as :meth:`Model.matching` returns; all by default.
        progress: called with the number of weights after each chunk.

    Returns:
        Notes for the user: that bfloat16 is stored as float32 in ``.npz``.

    Raises:
        OutputError: the file cannot be written, does not fit on the disk, or has another suffix.
        TooLarge: a tensor that must be held whole does not fit in memory.
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
    parameters = tuple(model.parameters if only is None else only)
    for parameter in parameters:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))
        name = parameter.path.encode("utf-8", "replace")
        if name.decode() != parameter.path or b"\0" in name or len(name) > _MAX_NAME_BYTES:
            raise OutputError(f"{quoted(parameter.path)} cannot be a name in a file")
    with written_whole(file) as stream:
        _refuse_beyond_disk(file, sum(_bytes(each, dtypes) for each in parameters))
        write(stream, parameters, progress)
    halves = sum(each.dtype == "bfloat16" for each in parameters) if suffix == ".npz" else 0
    if not halves:
        return []
    some = "1 tensor is" if halves == 1 else f"{halves:,} tensors are"
    return [f"NumPy has no bfloat16, so {some} stored as float32, with the same numbers"]


def _write_npz(
    stream: BinaryIO, parameters: Sequence[Parameter], progress: Progress | None
) -> None:
    """Write a zip file of ``.npy`` files, as :func:`numpy.savez` does with arrays in memory."""
    with zipfile.ZipFile(stream, "w") as archive:
        for parameter in parameters:
            # The time and the system would differ from run to run.
            member = zipfile.ZipInfo(date_time=(1980, 1, 1, 0, 0, 0))
            member.filename = f"{parameter.path}.npy"  # ZipInfo would replace \ on Windows
            member.create_system = 3
            with archive.open(member, "w", force_zip64=True) as npy:
                header = {
                    "descr": _NPZ[parameter.dtype],
                    "fortran_order": False,
                    "shape": parameter.shape,
                }
                np.lib.format.write_array_header_1_0(npy, header)
                for content in _content(parameter, _NPZ, progress):
                    npy.write(content)


def _write_safetensors(
    stream: BinaryIO, parameters: Sequence[Parameter], progress: Progress | None
) -> None:
    """Write the length of the header, the header as JSON padded to 8 bytes, and the values."""
    # Widest first, so that every tensor is aligned to its dtype.
    ordered = sorted(parameters, key=lambda each: -BYTES[each.dtype])
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    end = 0
    for parameter in ordered:
        start, end = end, end + _bytes(parameter, _SAFETENSORS)
        header[parameter.path] = {
            "dtype": _SAFETENSORS_NAMES[parameter.dtype],
            "shape": parameter.shape,
            "data_offsets": (start, end),
        }
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for parameter in ordered:
        for content in _content(parameter, _SAFETENSORS, progress):
            stream.write(content)


def _content(
    parameter: Parameter, dtypes: Dtypes, progress: Progress | None
) -> Iterator[memoryview]:
    """The values of a tensor as a file stores them, chunk by chunk."""
    dtype = dtypes[parameter.dtype]
    for values in draw_chunks(parameter, range(chunk_count(parameter))):
        # The upper 16 bits of a float32 are a bfloat16.
        stored = values.view(np.uint32) >> 16 if dtype == "<u2" else values
        yield np.ascontiguousarray(stored, dtype).data
        if progress is not None:
            progress(values.size)


def _bytes(parameter: Parameter, dtypes: Dtypes) -> int:
    return parameter.size * np.dtype(dtypes[parameter.dtype]).itemsize


def _refuse_beyond_disk(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise OutputError(
            f"{printable(str(file))}: cannot be written: it takes {needed / 2**20:,.1f} MiB, and "
            f"{free / 2**20:,.1f} MiB of the disk are free"
        )


Writer = Callable[[BinaryIO, Sequence[Parameter], Progress | None], None]
_WRITERS: dict[str, tuple[Writer, Dtypes]] = {
    ".npz": (_write_npz, _NPZ),
    ".safetensors": (_write_safetensors, _SAFETENSORS),
}
SUFFIXES = tuple(_WRITERS)
"""Suffixes of the files that can be written."""
