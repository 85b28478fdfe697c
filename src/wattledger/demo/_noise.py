"""Chance that can be asked for in any order: every number is a pure function of a seed and a name.

A town is regenerated from its seed: yesterday after tomorrow, one meter or all, on this machine or another. A generator
with a state cannot do that, so randomness here is a hash (the finaliser of SplitMix64, by Steele, Lea and Flood, 2014)
of the seed, a label and as many integer keys as it takes, computed on whole arrays at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Item = TypeVar("_Item")
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


def noise(seed: int, label: str, *keys: ArrayLike) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one for every combination of the broadcast integer ``keys`` (at least one axis)."""
    mixed = _mixed(np.array([seed & (2**64 - 1)], dtype=np.uint64) ^ _label(label))
    for key in keys:
        mixed = _mixed(mixed * _GOLDEN + np.asarray(key).astype(np.int64).astype(np.uint64) + _GOLDEN)
    return (mixed >> np.uint64(11)).astype(np.float64) * _UNIT


def chance(seed: int, label: str, *keys: int) -> float:
    """One uniform number in [0, 1)."""
    return float(noise(seed, label, *keys)[0])


def whole(seed: int, label: str, *keys: int, low: int, high: int) -> int:
    """One whole number in [low, high)."""
    return low + int(chance(seed, label, *keys) * (high - low))


def pick(seed: int, label: str, *keys: int, among: Sequence[_Item]) -> _Item:
    """One of ``among``, each as likely as the other."""
    return among[whole(seed, label, *keys, low=0, high=len(among))]


def bell(seed: int, label: str, *keys: ArrayLike) -> NDArray[np.float64]:
    """Numbers around 0 within (-1, 1), most of them near 0: the mean of three uniform ones, stretched."""
    return sum((noise(seed, f"{label}/{i}", *keys) for i in range(3)), start=np.zeros(1)) * (2 / 3) - 1


@lru_cache(maxsize=1024)
def _label(label: str) -> np.uint64:
    return np.uint64(zlib.crc32(label.encode()) << 32 | len(label))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
