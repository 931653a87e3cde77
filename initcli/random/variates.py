"""Random variates: uniform, normal and truncated normal numbers.

Single precision is computed from raw bits by operations that IEEE 754 rounds correctly (+, −, ×, ÷,
√, casts and integer operations), so that values are the same on every machine; exp, log, sin and
cos differ between processors. Double precision is that of NumPy's generator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initcli.random import standard_normal
from initcli.random.scratch import scratch
from initcli.random.standard_normal import Floats

_Single = np.float32

# Polynomials with minimal relative error, lowest power first.
SIN = (0.9999999968, -0.1666665022, 0.008332016453, -0.0001950182201)
"""sin h = h · p(h²) for |h| ≤ π/4, to 4e-9."""
ATANH = (1.000000119, 0.3332609436, 0.2064879597)
"""artanh s = s · p(s²) for |s| ≤ (√2 − 1)/(√2 + 1), to 1.2e-7."""

ROOT_HALF = int(np.float32(math.sqrt(0.5)).view(np.int32))
ROOT_HALF_OF_2_31 = int(np.float32(math.sqrt(0.5) * 2**31).view(np.int32))
MANTISSA = 0x7FFFFF
SMALL = 1 << 12
"""Values of u · 2³¹ below this one get further bits."""
MOSTLY_KEPT = 0.2
"""Share of normal numbers between two bounds from which they are drawn as such and rejected."""
ANGLE = math.pi / 2**25
"""Half the angle of one step of an angle's 24 bits."""
LOG = -2 * math.log(2)
"""−2 ln u of u = 2."""


def fill_uniform(rng: np.random.Generator, out: Floats, low: float, high: float) -> None:
    """Fill ``out`` with uniform numbers of 32 random bits (53 in float64)."""
    if out.dtype != _Single:
        rng.random(out=out)
        out *= high - low
        out += low
        return
    _to_float(_words(rng, out.size), out)
    out *= _Single((high - low) * 2.0**-32)
    if middle := (high + low) / 2:
        out += _Single(middle)


def fill_normal(rng: np.random.Generator, out: Floats, mean: float, std: float) -> None:
    """Fill ``out`` with normal numbers.

    Box & Muller 1958, doi:10.1214/aoms/1177706645: with u, v uniform on (0, 1), √(−2 ln u)·cos 2πv
    and √(−2 ln u)·sin 2πv are normal and independent. u has 38 bits near 0, so that the tails reach
    7.3 standard deviations.
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
    """Fill ``out`` with standard normal numbers between ``a`` and ``b`` by rejection.

    Candidates are normal if the bounds keep more than :data:`MOSTLY_KEPT` of them, else uniform
    between the bounds and kept with probability φ(z)/max φ.
    """
    kept = standard_normal.mass(a, b)
    fill = _fill_kept if kept > MOSTLY_KEPT else _fill_uniforms_kept
    fill(rng, out, a, b, kept)


def _words(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Words of 32 random bits, the same for either byte order."""
    pairs: NDArray[np.uint64] = rng.bit_generator.random_raw(-(-count // 2))
    words: NDArray[np.uint32] = pairs.astype("<u8", copy=False).view("<u4")[:count]
    return words.astype(np.uint32, copy=False)


def _box_muller(rng: np.random.Generator, out: Floats, std: float) -> None:
    """Fill ``out``, of an even size, with normal numbers of mean 0."""
    half = out.size // 2
    words = _words(rng, out.size)
    # Arrays are reused, to stay within the processor's cache.
    p, q = out[:half], out[half:]
    a, b = words[:half], words[half:]
    sign, t, w = scratch((np.uint32, half), (_Single, half), (_Single, half))

    # u = f / 2³¹ from word a, with f in the memory of a. A small f gets seven bits of word b as a
    # fraction, because tail values would be too few otherwise.
    a >>= 1
    few = np.flatnonzero(a < SMALL) if a.min() < SMALL else None
    f = a.view(_Single)
    _to_float(a, f)
    f += _Single(0.5)
    if few is not None:
        f[few] += ((b[few] & 127) - _Single(63.5)) / _Single(128)

    # From word b: a sign, and half an angle from −π/4 to π/4 with sine s and cosine c, of which
    # ½ cos = ½ − s² and ½ sin = s·c go into q and p.
    np.left_shift(b, 24, out=sign)
    sign &= 1 << 31
    turn, angle = b.view(np.int32), b.view(_Single)
    turn >>= 8
    _to_float(b, angle)
    angle += _Single(0.5)
    angle *= _Single(ANGLE)
    square, sine = q, p
    np.multiply(angle, angle, out=square)
    _polynomial(SIN, square, sine)
    sine *= angle
    np.multiply(sine, sine, out=q)
    np.subtract(_Single(0.5), q, out=q)
    cosine = angle
    np.add(q, _Single(0.5), out=cosine)
    np.sqrt(cosine, out=cosine)
    p *= cosine

    # −2 ln u into b, with u = 2^e m and √½ ≤ m < √2; less one bit, in case f was rounded to 2³¹.
    bits, radius = a.view(np.int32), b.view(_Single)
    bits -= ROOT_HALF_OF_2_31 + 1
    np.right_shift(bits, 23, out=b.view(np.int32))
    _to_float(b, radius)
    radius *= _Single(LOG)
    bits &= MANTISSA
    bits += ROOT_HALF
    # ln m = 2 artanh t with t = (m − 1)/(m + 1).
    m = f
    np.subtract(m, _Single(1), out=t)
    m += _Single(1)
    t /= m
    square = m
    np.multiply(t, t, out=square)
    _polynomial([-4 * c for c in ATANH], square, w)
    w *= t
    radius += w

    # ±2 std √(−2 ln u), times ½ cos and ½ sin.
    np.sqrt(radius, out=radius)
    radius *= _Single(2 * std)
    signed = b
    signed ^= sign
    p *= radius
    q *= radius


def _to_float(bits: NDArray[Any], out: Floats) -> None:
    """Convert 32-bit integers to floats; both arrays may share memory."""
    np.copyto(out, bits.view(np.int32), casting="unsafe")


def _polynomial(coefficients: Any, x: Floats, out: Floats) -> None:
    """Σ cₖ xᵏ by Horner's rule in single precision."""
    *lower, first, highest = (_Single(c) for c in coefficients)
    np.multiply(x, highest, out=out)
    out += first
    for c in reversed(lower):
        out *= x
        out += c


def spares(size: int, kept: float) -> int:
    """How many further numbers are drawn, to replace those of ``size`` that are out of bounds."""
    return math.ceil(size * (1 / kept - 1) * 1.1) + 8


def _fill_kept(rng: np.random.Generator, out: Floats, a: float, b: float, kept: float) -> None:
    """Fill ``out`` with normal numbers, and replace those out of bounds."""
    z = np.empty(out.size + spares(out.size, kept), out.dtype)
    fill_normal(rng, z, 0.0, 1.0)
    outside = z < a
    outside |= z > b
    out[:] = z[: out.size]
    gaps = np.flatnonzero(outside[: out.size])
    fillings = z[out.size :][~outside[out.size :]][: gaps.size]
    if fillings.size < gaps.size:  # rare
        more = np.empty(gaps.size - fillings.size, out.dtype)
        _fill_kept(rng, more, a, b, kept)
        fillings = np.concatenate([fillings, more])
    out[gaps] = fillings


def _fill_uniforms_kept(
    rng: np.random.Generator, out: Floats, a: float, b: float, kept: float
) -> None:
    """Fill ``out`` with uniform candidates, kept with probability φ(z)/max φ."""
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
