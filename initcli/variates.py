"""Random variates: buffers filled with uniform, normal and truncated normal numbers.

Single precision is made here from raw bits, in whole-array steps that IEEE 754 rounds correctly
(+, −, ×, ÷, √, casts and integer operations), so that the values are the same on every machine;
exp, log, sin and cos, which differ between processors, are left out. Double precision is the
generator's own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initcli import standard_normal
from initcli.scratch import scratch
from initcli.standard_normal import Floats

_Single = np.float32

# Minimax polynomials, lowest power first; the errors are relative, but that of cos absolute.
_SIN = (0.9999999957, -0.1666665799, 0.008333051063, -0.0001980907529, 2.605224914e-06)
"""sin h = h · p(h²) for |h| ≤ π/2, to 4e-9."""
_COS = (0.9999999535, -0.4999990535, 0.04166358469, -0.001385370431, 2.315393162e-05)
"""cos h = p(h²) for |h| ≤ π/2, to 5e-8."""
_ATANH = (1.000000119, 0.3332609436, 0.2064879597)
"""artanh s = s · p(s²) for |s| ≤ (√2 − 1)/(√2 + 1), to 1.2e-7."""

_ROOT_HALF = int(np.float32(math.sqrt(0.5)).view(np.int32))
_ROOT_HALF_OF_2_31 = int(np.float32(math.sqrt(0.5) * 2**31).view(np.int32))
_MANTISSA = 0x7FFFFF


def fill_uniform(rng: np.random.Generator, out: Floats, low: float, high: float) -> None:
    """Fill ``out`` with numbers from ``low`` to ``high``, of 24 random bits (53 in float64)."""
    if out.dtype != _Single:
        rng.random(out=out)
        out *= high - low
        out += low
        return
    bits = _words(rng, out.size)
    bits >>= 8
    np.copyto(out, bits.view(np.int32), casting="unsafe")
    out *= _Single((high - low) * 2.0**-24)
    out += _Single(low)


def fill_normal(rng: np.random.Generator, out: Floats, mean: float, std: float) -> None:
    """Fill ``out`` with normal numbers.

    By the transform of Box & Muller 1958: with u, v uniform on (0, 1), √(−2 ln u)·cos 2πv and
    √(−2 ln u)·sin 2πv are normal and independent. u has 39 bits near 0, so that the tails reach
    7.4 standard deviations.
    """
    if out.dtype != _Single:
        rng.standard_normal(out=out)
        out *= std
    elif out.size % 2:
        even = np.empty(out.size + 1, _Single)
        _box_muller(rng, even, std)
        out[:] = even[:-1]
    else:
        _box_muller(rng, out, std)
    if mean:
        out += out.dtype.type(mean)


def fill_truncated(rng: np.random.Generator, out: Floats, a: float, b: float) -> None:
    """Fill ``out`` with standard normal numbers between ``a`` and ``b``, by rejection.

    Candidates are normal where the bounds keep most of them, and otherwise uniform between the
    bounds, kept with probability φ(z)/max φ.
    """
    kept = standard_normal.mass(a, b)
    fill = _fill_kept if kept > 0.2 else _fill_uniforms_kept
    fill(rng, out, a, b, kept)


def _words(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Words of 32 random bits, the same on machines of either byte order."""
    # The generator lets other threads run while it fills these; ``random_raw`` does not.
    pairs = rng.integers(0, 2**64 - 1, -(-count // 2), np.uint64, endpoint=True)
    words: NDArray[np.uint32] = pairs.astype("<u8", copy=False).view("<u4")[:count]
    return words.astype(np.uint32, copy=False)


def _box_muller(rng: np.random.Generator, out: Floats, std: float) -> None:
    """Fill ``out``, of an even size, with normal numbers of mean 0."""
    half = out.size // 2
    words = _words(rng, out.size)
    # Every array is used for several things in turn, to stay within the processor's cache.
    p, q = out[:half], out[half:]
    a, b = words[:half], words[half:]
    (w,) = scratch((_Single, half))

    # The radius √(−2 ln u) · 2 std into a, with u = f / 2³¹ and f = 2^e m, √½ ≤ m < √2.
    f, fraction = p, q
    a >>= 1
    _to_float(a, f)
    np.bitwise_and(b, 255, out=fraction.view(np.uint32))
    _to_float(fraction, fraction)
    fraction += _Single(0.5)
    fraction *= _Single(1 / 256)
    f += fraction
    bits, radius = f.view(np.int32), a.view(_Single)
    bits -= _ROOT_HALF_OF_2_31
    np.right_shift(bits, 23, out=a.view(np.int32))
    _to_float(a, radius)
    radius *= _Single(-2 * math.log(2))
    bits &= _MANTISSA
    bits += _ROOT_HALF
    # ln m = 2 artanh s with s = (m − 1)/(m + 1).
    m, s = p, q
    np.subtract(m, _Single(1), out=s)
    m += _Single(1)
    s /= m
    square = p
    np.multiply(s, s, out=square)
    _polynomial([-4 * c for c in _ATANH], square, w)
    w *= s
    radius += w
    np.sqrt(radius, out=radius)
    radius *= _Single(2 * std)

    # Half the angle, from −π/2 to π/2, into b, its sine into p and its cosine into b again.
    turn, angle = b.view(np.int32), b.view(_Single)
    turn >>= 8
    _to_float(b, angle)
    angle += _Single(0.5)
    angle *= _Single(math.pi / 2**24)
    np.multiply(angle, angle, out=w)
    sine, cosine = p, angle
    _polynomial(_SIN, w, sine)
    sine *= angle
    _polynomial(_COS, w, cosine)

    # 2r · (½ − sin² h) and 2r · sin h cos h, with r·cos 2h and r·sin 2h meant.
    np.multiply(sine, sine, out=q)
    np.subtract(_Single(0.5), q, out=q)
    q *= radius
    p *= cosine
    p *= radius


def _to_float(bits: NDArray[Any], out: Floats) -> None:
    """The floats of whole numbers from −2³¹ to 2³¹; both may lie in the same memory."""
    np.copyto(out, bits.view(np.int32), casting="unsafe")


def _polynomial(coefficients: Any, x: Floats, out: Floats) -> None:
    """Σ cₖ xᵏ by Horner's rule, in single precision."""
    *lower, first, highest = (_Single(c) for c in coefficients)
    np.multiply(x, highest, out=out)
    out += first
    for c in reversed(lower):
        out *= x
        out += c


def _fill_kept(rng: np.random.Generator, out: Floats, a: float, b: float, kept: float) -> None:
    """Fill ``out`` with normal numbers, and those out of bounds with spare ones."""
    spares = math.ceil(out.size * (1 / kept - 1) * 1.1) + 8
    z = np.empty(out.size + spares, out.dtype)
    fill_normal(rng, z, 0.0, 1.0)
    outside = z < a
    outside |= z > b
    out[:] = z[: out.size]
    gaps = np.flatnonzero(outside[: out.size])
    fillings = z[out.size :][~outside[out.size :]][: gaps.size]
    if fillings.size < gaps.size:  # hardly ever
        more = np.empty(gaps.size - fillings.size, out.dtype)
        _fill_kept(rng, more, a, b, kept)
        fillings = np.concatenate([fillings, more])
    out[gaps] = fillings


def _fill_uniforms_kept(
    rng: np.random.Generator, out: Floats, a: float, b: float, kept: float
) -> None:
    """Fill ``out`` with uniform numbers, kept with probability φ(z)/max φ."""
    low, high = standard_normal.without_tails(a, b)
    top = 0.0 if a <= 0 <= b else min(abs(a), abs(b))
    acceptance = kept / ((high - low) * float(standard_normal.pdf(np.array(top))))
    filled = 0
    while filled < out.size:
        wanted = out.size - filled
        z = rng.uniform(low, high, math.ceil(wanted / acceptance * 1.02) + 8)
        z = z[rng.random(z.size) < np.exp((top * top - z * z) / 2)][:wanted]
        out[filled : filled + z.size] = z
        filled += z.size
