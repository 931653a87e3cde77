"""Exporting: the drawn values as a file for others, NumPy's or safetensors.

Tensors are named by their paths. They are drawn and written chunk by chunk, so that of a tensor
that is not made whole no more than a chunk is held. Nothing but the model decides a file's bytes.
There is one process: to hand values over to it takes others about as long as to draw them.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from initcli.errors import OutputError, listed, printable, quoted
from initcli.files import folder_beside, link_target, written_whole
from initcli.measuring.measurement import Progress
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.chunks import chunk_count, draw_chunks, refuse_beyond_memory, scratch_bytes
from initcli.types import TensorDtype

_LONGEST_NAME = 0xFFFF
"""Bytes of a name in a zip file at most."""

Entries = NDArray[Any]
"""Some of a tensor's entries, in row order, as a file stores them."""

_NPZ: dict[TensorDtype, str] = {
    "float16": "<f2",
    "bfloat16": "<f4",
    "float32": "<f4",
    "float64": "<f8",
    "int8": "|i1",
    "uint8": "|u1",
    "int32": "<i4",
    "int64": "<i8",
}
"""What a dtype is stored as in an .npz file, in NumPy's words."""
_SAFETENSORS: dict[TensorDtype, str] = {**_NPZ, "bfloat16": "<u2"}
"""What a dtype is stored as in a .safetensors file: a bfloat16 by its 16 bits."""


def export(
    model: Model,
    file: Path,
    *,
    only: Iterable[Parameter] | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write the values of every parameter into one file, each under its path.

    The shapes are Keras's. An ``.npz`` file has the tensors in the model's order, which is that
    of Keras's ``set_weights``; a ``.safetensors`` file has them in an order of its library's, to
    be asked for by name.

    Args:
        model: whose parameters.
        file: where to; its name ends in ``.npz`` or ``.safetensors``, and what is there already
            is replaced once the new file is whole. A symbolic link is followed.
        only: some of the parameters, such as :meth:`Model.matching` finds; all by default.
        progress: told of the weights that are written, as they are.

    Returns:
        What a reader of the file should know: of bfloat16 in ``.npz``, which NumPy does not have.

    Raises:
        OutputError: the file cannot be written, does not fit on the disk, or has another suffix.
        TooLarge: a tensor cannot be held that must be.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli, numpy, pathlib, tempfile
    >>> model = initcli.load("sample_configs/tour.yaml")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "tour.npz"
    ...     notes = initcli.export(model, file)
    ...     numpy.load(file)["dense/kernel"].shape
    (496, 64)
    """
    write = _WRITERS.get(file.suffix.lower())
    if write is None:
        raise OutputError(f"{printable(str(file))}: the file's name must end in {listed(SUFFIXES)}")
    wanted = tuple(model.parameters if only is None else only)
    for parameter in wanted:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))
        if "\0" in parameter.path or not _is_text(parameter.path):
            raise OutputError(f"{quoted(parameter.path)} cannot be a name in a file")
    return write(wanted, link_target(file), progress)


def _write_npz(parameters: Sequence[Parameter], file: Path, progress: Progress | None) -> list[str]:
    """Write a zip file of ``.npy`` files, as :func:`numpy.savez` does of arrays that are held."""
    for parameter in parameters:
        if len(f"{parameter.path}.npy".encode()) > _LONGEST_NAME:
            raise OutputError(
                f"{quoted(parameter.path)} is too long for a name in a zip file\n"
                "  = a .safetensors file can have it"
            )
    with written_whole(file) as stream:
        _refuse_beyond_disk(file, parameters, _NPZ)
        with zipfile.ZipFile(stream, "w") as archive:
            for parameter in parameters:
                with archive.open(_member(f"{parameter.path}.npy"), "w", force_zip64=True) as npy:
                    header = {
                        "descr": _NPZ[parameter.dtype],
                        "fortran_order": False,
                        "shape": parameter.shape,
                    }
                    np.lib.format.write_array_header_1_0(npy, header)
                    for values in _content(parameter, _NPZ, progress):
                        npy.write(values.data)
        _keep(stream)
    halves = sum(parameter.dtype == "bfloat16" for parameter in parameters)
    if not halves:
        return []
    some = "1 tensor is" if halves == 1 else f"{halves:,} tensors are"
    return [f"NumPy has no bfloat16, so {some} stored as float32, with the same numbers"]


def _member(name: str) -> zipfile.ZipInfo:
    """A file in a zip file, which is the same whenever and on whatever system it is made."""
    member = zipfile.ZipInfo(date_time=(1980, 1, 1, 0, 0, 0))
    member.filename = name  # as it is: on Windows a new ZipInfo takes \ for /
    member.create_system = 3
    return member


def _write_safetensors(
    parameters: Sequence[Parameter], file: Path, progress: Progress | None
) -> list[str]:
    """Have the library lay the file out with zeros, and write the values after its header.

    The library wants every tensor at once, in memory. They can share one piece of it, and as long
    as nobody has written to it, zeros take addresses and (on Linux) no memory.
    """
    _library()
    with written_whole(file) as stream:
        _refuse_beyond_disk(file, parameters, _SAFETENSORS)
        for parameter in _laid_out(parameters, file, stream):
            for values in _content(parameter, _SAFETENSORS, progress):
                stream.write(values.data)
        _keep(stream)
    return []


def _laid_out(parameters: Sequence[Parameter], file: Path, stream: BinaryIO) -> list[Parameter]:
    """Write the header of a safetensors file; what is left to write, in its order."""
    library = _library()
    by_path = {parameter.path: parameter for parameter in parameters}
    # While the library writes it hears of no interrupt, so it does in a thread that none waits
    # for; and what it makes is a file for its owner alone, so no more than the header is kept.
    thread = ThreadPoolExecutor(1)
    with folder_beside(stream) as folder:
        zeros = folder / "zeros"
        try:
            written = thread.submit(_serialize_zeros, parameters, zeros)
            # On Windows a wait without an end cannot be interrupted.
            while not written.done():
                wait([written], timeout=0.5)
            written.result()
            with library.safe_open(zeros, framework="np") as laid_out:
                ordered = [by_path[path] for path in laid_out.offset_keys()]
        except library.SafetensorError as error:
            raise OutputError(f"{printable(str(file))}: cannot be written: {error}") from None
        finally:
            thread.shutdown(wait=False)
        content = sum(_bytes(each, _SAFETENSORS) for each in ordered)
        with zeros.open("rb") as layout:
            stream.write(layout.read(zeros.stat().st_size - content))
    return ordered


def _keep(stream: BinaryIO) -> None:
    """Have what was written outlast a loss of power."""
    stream.flush()
    os.fsync(stream.fileno())


def _serialize_zeros(parameters: Sequence[Parameter], file: Path) -> None:
    library = _library()
    sizes = {parameter.path: _bytes(parameter, _SAFETENSORS) for parameter in parameters}
    zeros = np.zeros(max(sizes.values(), default=0), np.uint8)
    tensors = {
        parameter.path: library.TensorSpec(
            dtype=parameter.dtype,
            shape=parameter.shape,
            data_ptr=zeros.ctypes.data,
            data_len=sizes[parameter.path],
        )
        for parameter in parameters
    }
    # Of two entries it would be chance which stands first.
    library.serialize_file(tensors, file, metadata={"format": "np"})


def _library() -> Any:
    """The safetensors library.

    Raises:
        OutputError: it is not installed, or cannot be told of memory that is not its own.
    """
    try:
        import safetensors
    except ImportError:
        found = None
    else:
        found = safetensors
    if not hasattr(found, "TensorSpec"):
        raise OutputError(
            "to write .safetensors, initcli needs the library of that name, 0.8 or newer\n"
            "  = pip install 'initcli[safetensors]'"
        )
    return found


def _content(
    parameter: Parameter, stored: dict[TensorDtype, str], progress: Progress | None
) -> Iterator[Entries]:
    """The entries of a tensor as a file stores them, chunk by chunk."""
    for values in draw_chunks(parameter, range(chunk_count(parameter))):
        # What bfloat16 leaves of a float32 are its upper bits.
        upper = stored[parameter.dtype] == "<u2"
        entries = values.view(np.uint32) >> 16 if upper else values
        yield np.ascontiguousarray(entries, stored[parameter.dtype])
        if progress is not None:
            progress(values.size)


def _bytes(parameter: Parameter, stored: dict[TensorDtype, str]) -> int:
    """What the entries take in the file."""
    return parameter.size * np.dtype(stored[parameter.dtype]).itemsize


def _refuse_beyond_disk(
    file: Path, parameters: Iterable[Parameter], stored: dict[TensorDtype, str]
) -> None:
    """Raise OutputError when the tensors are more than the disk has room for."""
    needed = sum(_bytes(parameter, stored) for parameter in parameters)
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise OutputError(
            f"{printable(str(file))}: cannot be written: it takes {needed / 2**20:,.1f} MiB, and "
            f"{free / 2**20:,.1f} MiB of the disk are free"
        )


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8, as halves of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


_WRITERS: dict[str, Callable[[Sequence[Parameter], Path, Progress | None], list[str]]] = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
}
SUFFIXES = tuple(_WRITERS)
"""What a file's name can end in."""
