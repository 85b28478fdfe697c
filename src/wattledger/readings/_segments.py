"""A segment: what one batch brought of one channel for one UTC day, as columns in one binary value.

Two forms, little-endian, after a byte that says which:

``0``  any cells: count u32; series i32, slot u16, watt-hours i32 and quality u8, each column of that count
``1``  a table: rows u32, columns u16; series i32 of each row, slot u16 of each column, watt-hours i32 and quality u8 of
       each cell, row by row

Cells are ascending by series and slot, none twice. A slot is the number of the interval in its day.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CELLS, _TABLE = struct.Struct("<BI"), struct.Struct("<BIH")


class SegmentDamaged(ValueError):
    """A segment's bytes are not what was written."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Values of one channel and day.

    ``series``   int32, ascending; of each row if ``table``, else of each cell
    ``slots``    uint16; of each column if ``table``, else of each cell
    ``wh``       int32; (rows, columns) if ``table``, else one a cell
    ``quality``  uint8; as ``wh``
    """

    series: NDArray[np.int32]
    slots: NDArray[np.uint16]
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]
    table: bool

    @classmethod
    def of(
        cls,
        series: NDArray[np.int32],
        slots: NDArray[np.uint16],
        wh: NDArray[np.int32],
        quality: NDArray[np.uint8],
    ) -> Cells:
        """Cells given one by one, ascending by series and slot; a table if they make one."""
        rows = 1 + int(np.count_nonzero(np.diff(series)))
        columns = len(series) // rows
        if rows * columns == len(series):
            of_row, of_column = series.reshape(rows, columns), slots.reshape(rows, columns)
            if (of_row == of_row[:, :1]).all() and (of_column == of_column[:1]).all():
                shape = (rows, columns)
                return cls(of_row[:, 0], of_column[0], wh.reshape(shape), quality.reshape(shape), table=True)
        return cls(series, slots, wh, quality, table=False)

    def __len__(self) -> int:
        return self.wh.size

    def one_by_one(self) -> Cells:
        """The same with every cell's own series and slot."""
        if not self.table:
            return self
        rows, columns = self.wh.shape
        return Cells(
            np.repeat(self.series, columns),
            np.tile(self.slots, rows),
            self.wh.ravel(),
            self.quality.ravel(),
            table=False,
        )

    def of_series(self, first: int, last: int) -> Cells:
        """Those of the series from ``first`` to before ``last``."""
        a, b = self.series.searchsorted((first, last))
        if a == 0 and b == len(self.series):
            return self
        slots = self.slots if self.table else self.slots[a:b]
        return Cells(self.series[a:b], slots, self.wh[a:b], self.quality[a:b], self.table)


def packed(cells: Cells) -> bytes:
    """The cells as a segment's bytes."""
    columns = (
        cells.series.astype("<i4", copy=False),
        cells.slots.astype("<u2", copy=False),
        cells.wh.astype("<i4", copy=False),
        cells.quality.astype("u1", copy=False),
    )
    head = _TABLE.pack(1, *cells.wh.shape) if cells.table else _CELLS.pack(0, len(cells))
    return head + b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def unpacked(data: bytes) -> Cells:
    """The cells of a segment's bytes; raises :class:`SegmentDamaged`."""
    try:
        if data[0] == 1:
            _, rows, columns = _TABLE.unpack_from(data)
            at, count, kinds = _TABLE.size, rows * columns, ((rows, "<i4"), (columns, "<u2"))
        else:
            _, rows = _CELLS.unpack_from(data)
            at, count, kinds = _CELLS.size, rows, ((rows, "<i4"), (rows, "<u2"))
        arrays = []
        for length, kind in (*kinds, (count, "<i4"), (count, "u1")):
            arrays.append(np.frombuffer(data, dtype=kind, count=length, offset=at))
            at += arrays[-1].nbytes
    except (IndexError, ValueError, struct.error) as error:
        raise SegmentDamaged(str(error)) from error
    if at != len(data) or data[0] > 1 or not count:
        raise SegmentDamaged(f"{len(data)} bytes where {at} belong")
    series, slots, wh, quality = arrays
    if data[0] == 1:
        shape = (len(series), len(slots))
        return Cells(series, slots, wh.reshape(shape), quality.reshape(shape), table=True)
    return Cells(series, slots, wh, quality, table=False)
