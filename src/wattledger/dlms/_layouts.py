"""Reading at once what is laid out as something read before: a meter's pushes differ in their numbers only.

A layout is learned from data that were read item by item: which bytes are tags, counts and lengths, where the numbers
stand, and how they are nested. Whether it fits is one comparison; then one ``struct`` reads all numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

Build = Callable[[tuple[Any, ...]], Any]

BYTES_MAX = 2_048
_KEPT_MAX = 256
_OF_A_SIZE_MAX = 4
_NULL, _ARRAY, _STRUCTURE, _OCTETS, _TEXT = 0, 1, 2, 9, 10
_SHORT = 0x80


class _Layout(NamedTuple):
    size: int
    mask: int
    marks: int
    """What the masked bytes have to be."""
    numbers: struct.Struct
    build: Build


class Layouts:
    """The layouts met so far, the latest few hundred. ``codes`` has the ``struct`` code of each tag of fixed size."""

    def __init__(self, codes: Mapping[int, str]) -> None:
        self._codes = dict(codes)
        self._sizes = {tag: 1 + struct.calcsize(f">{code}") for tag, code in codes.items()}
        self._kept: dict[int, list[_Layout]] = {}

    def read(self, buffer: bytes, at: int) -> tuple[Any, int] | None:
        """The value from ``at`` to the end of ``buffer`` and that end; ``None`` where no layout fits."""
        kept = self._kept.get(len(buffer) - at)
        if kept is None:
            return None
        content = int.from_bytes(memoryview(buffer)[at:], "big")
        for layout in kept:
            if content & layout.mask == layout.marks:
                return layout.build(layout.numbers.unpack_from(buffer, at)), len(buffer)
        return None

    def learn(self, buffer: bytes, at: int) -> None:
        """Keep the layout of the value from ``at`` to the end of ``buffer``, if it is of the simple kind."""
        size = len(buffer) - at
        kept = self._kept.get(size, [])
        if size > BYTES_MAX or len(kept) >= _OF_A_SIZE_MAX:
            return
        if len(self._kept) >= _KEPT_MAX:
            self._kept = {}
        code, mask, counter = [">"], bytearray(size), iter(range(size))
        build, end = self._walked(buffer, at, _Walk(at, code, mask, counter))
        if build is None or end != len(buffer):
            return
        masked = int.from_bytes(mask, "big")
        marks = int.from_bytes(buffer[at:], "big") & masked
        self._kept[size] = [*kept, _Layout(size, masked, marks, struct.Struct("".join(code)), build)]

    def _walked(self, buffer: bytes, at: int, walk: _Walk) -> tuple[Build | None, int]:  # noqa: PLR0911 - a kind each
        """What builds the value at ``at`` from the numbers, and where it ends; ``None`` for what is not simple."""
        tag = buffer[at]
        walk.mark(at)
        if tag in self._codes:
            walk.code.append(f"x{self._codes[tag]}")
            return itemgetter(next(walk.counter)), at + self._sizes[tag]
        if tag == _NULL:
            walk.code.append("x")
            return _nothing, at + 1
        if at + 1 >= len(buffer) or buffer[at + 1] >= _SHORT:
            return None, at
        count = buffer[at + 1]
        walk.mark(at + 1)
        walk.code.append("xx")
        if tag in {_OCTETS, _TEXT}:
            walk.code.append(f"{count}s")
            number = next(walk.counter)
            return (itemgetter(number) if tag == _OCTETS else _text_at(number)), at + 2 + count
        if tag not in {_ARRAY, _STRUCTURE}:
            return None, at
        parts: list[Build] = []
        at += 2
        for _ in range(count):
            part, at = self._walked(buffer, at, walk)
            if part is None:
                return None, at
            parts.append(part)
        return _nested(parts, as_list=tag == _ARRAY), at


class _Walk(NamedTuple):
    start: int
    code: list[str]
    mask: bytearray
    counter: Iterator[int]

    def mark(self, at: int) -> None:
        """This byte has to be the same."""
        self.mask[at - self.start] = 0xFF


def _nothing(_: tuple[Any, ...]) -> None:
    return None


def _text_at(number: int) -> Build:
    def build(numbers: tuple[Any, ...]) -> str:
        return str(numbers[number], "latin-1")

    return build


def _nested(parts: list[Build], *, as_list: bool) -> Build:
    def listed(numbers: tuple[Any, ...]) -> list[Any]:
        return [part(numbers) for part in parts]

    def structured(numbers: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([part(numbers) for part in parts])

    return listed if as_list else structured
