"""Sampling the values of a parameter, whole or chunk by chunk.

The entries of a tensor, in row order, are divided into chunks of :data:`CHUNK`. Chunk k is drawn
from generator k of the parameter's stream, so the values do not depend on who draws it and when.
Values are drawn in float32 (float64 for float64) and rounded to the parameter's dtype. NumPy has no
bfloat16, so values of both half types, and of integer types, are held as float32 numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from initcli.distributions import Floats
from initcli.errors import TooLarge
from initcli.initializers.base import Initializer
from initcli.parameter import Parameter
from initcli.types import LARGEST, WHOLE, TensorDtype

CHUNK = 1 << 16
"""Entries of a chunk: small enough for a cache. The values of a seed depend on it."""


def draw(parameter: Parameter) -> Floats:
    """Sample a whole tensor.

    Raises:
        TooLarge: the tensor does not fit in memory.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> values = initcli.draw(model.parameters[0])
    >>> values.shape, values.dtype.name, bool(abs(values).max() <= 0.7072)
    ((8, 4), 'float32', True)
    """
    refuse_beyond_memory(parameter, parameter.size * working_dtype(parameter.dtype).itemsize)
    if drawn_whole(parameter):
        return _whole(parameter.initializer, parameter)
    parts = [draw_chunk(parameter, chunk) for chunk in range(chunk_count(parameter))]
    return np.concatenate(parts).reshape(parameter.shape)


def draw_chunk(parameter: Parameter, chunk: int) -> Floats:
    """Sample one chunk of a parameter whose initializer works by entries, or read it."""
    start = chunk * CHUNK
    if parameter.stored is not None:
        stored: Floats = parameter.stored.read(start, min(start + CHUNK, parameter.size))
        return stored
    out = np.empty(min(CHUNK, parameter.size - start), working_dtype(parameter.dtype))
    if out.size:
        rng = parameter.stream.generator(chunk)
        parameter.initializer.fill(out, start, parameter.shape, rng)
    return rounded(out, parameter.dtype)


def draw_chunks(parameter: Parameter, chunks: range) -> Iterator[Floats]:
    """Sample some chunks in order; a tensor that is made whole is made once for all of them."""
    if drawn_whole(parameter):
        refuse_beyond_memory(parameter, scratch_bytes(parameter))
        flat = _whole(parameter.initializer, parameter).reshape(-1)
        yield from (flat[chunk * CHUNK : (chunk + 1) * CHUNK] for chunk in chunks)
    else:
        yield from (draw_chunk(parameter, chunk) for chunk in chunks)


def drawn_whole(parameter: Parameter) -> bool:
    """Whether the values can only be drawn all at once."""
    is_empty = parameter.size == 0
    return parameter.stored is None and parameter.initializer.fills_whole and not is_empty


def chunk_count(parameter: Parameter) -> int:
    """Number of chunks of the tensor."""
    return -(-parameter.size // CHUNK)


def scratch_bytes(parameter: Parameter) -> int:
    """Bytes held at once while the parameter is sampled chunk by chunk."""
    itemsize = working_dtype(parameter.dtype).itemsize
    if drawn_whole(parameter):
        return parameter.initializer.scratch(parameter.shape) * itemsize
    return CHUNK * itemsize


def refuse_beyond_memory(parameter: Parameter, needed: int) -> None:
    """Raise TooLarge if ``needed`` bytes exceed the memory of this machine."""
    if needed > (available := physical_memory()):
        raise TooLarge(
            f"{parameter.path} must be held whole to be drawn with {parameter.initializer}, which "
            f"takes {needed / 2**30:,.1f} GiB of memory, and this machine has "
            f"{available / 2**30:,.1f}",
            "with --theory nothing is drawn",
        )


def physical_memory() -> int:
    """Bytes of memory of this machine; 16 GiB if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 16 * 2**30


def working_dtype(dtype: TensorDtype) -> np.dtype[Any]:
    """The NumPy dtype in which values of a dtype are drawn and held."""
    return np.dtype(np.float64 if dtype == "float64" else np.float32)


def drawn_dtype(parameter: Parameter) -> np.dtype[Any]:
    """The NumPy dtype of what is drawn or read of a parameter."""
    if parameter.stored is not None:
        dtype: np.dtype[Any] = parameter.stored.read(0, 0).dtype
        return dtype
    return working_dtype(parameter.dtype)


def rounded(values: Floats, dtype: TensorDtype) -> Floats:
    """The nearest values of the dtype, ties to even."""
    if dtype == "float16":
        return values.astype(np.float16).astype(values.dtype)
    if dtype in WHOLE:
        return np.rint(values)
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        result = bits >> np.uint32(16)
        result &= np.uint32(1)
        result += np.uint32(0x7FFF)
        result += bits
        result &= np.uint32(0xFFFF0000)
        return result.view(np.float32)
    return values


_FLOATS: dict[str, tuple[int, int]] = {
    "float32": (24, -126),
    "float16": (11, -14),
    "bfloat16": (8, -126),
    "float8_e4m3fn": (4, -6),
    "float8_e5m2": (3, -14),
}
"""Binary digits of each narrow float, and the exponent of its least normal number."""


def rounding_edges(edges: Floats, dtype: TensorDtype) -> Floats:
    """The bound below which a value must lie before rounding to be below each edge after it.

    It is halfway between the two values of the dtype next to the edge, of which one is below it.
    """
    if dtype == "float64":
        return edges
    if dtype in WHOLE:
        whole: Floats = np.ceil(edges) - 0.5
        return whole
    digits, least = _FLOATS[dtype]
    fraction, exponent = np.frexp(edges)
    # Values just below a power of two are twice as dense as those just above it.
    binade = np.where(fraction == 0, least, exponent - 1 - (fraction == 0.5))
    spacing = np.ldexp(1.0, np.maximum(binade, least) - (digits - 1))
    middles: Floats = (np.ceil(edges / spacing) - 0.5) * spacing
    return middles


def rounding_limits(edges: Floats, dtype: TensorDtype) -> Floats:
    """The bounds of values before rounding that fall into each bin of a histogram after it.

    The last bin includes its upper edge.
    """
    return rounding_edges(np.append(edges[:-1], np.nextafter(edges[-1], np.inf)), dtype)


def _whole(initializer: Initializer, parameter: Parameter) -> Floats:
    dtype = working_dtype(parameter.dtype)
    tensor = initializer.tensor(parameter.shape, parameter.stream.generator(), dtype)
    refuse_beyond_dtype(parameter, tensor)
    return rounded(tensor, parameter.dtype)


def refuse_beyond_dtype(parameter: Parameter, values: Floats) -> None:
    """Raise TooLarge if a value exceeds the range of the parameter's dtype."""
    largest = max(abs(float(values.min())), abs(float(values.max())))
    if largest > LARGEST[parameter.dtype]:
        raise TooLarge(
            f"{parameter.path} has a value of {largest:.4g}, and {parameter.dtype} holds at most "
            f"{LARGEST[parameter.dtype]:.5g}",
            "draw smaller values, or take another dtype",
        )
