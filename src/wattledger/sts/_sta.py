"""The standard transfer algorithm, encryption algorithm 07, over tables that are loaded (IEC 62055-41).

The tables in the standard are samples; those in use are issued by the STS Association to its licensees. None are
shipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wattledger.kernel import Problem

KEY_BYTES = 8
_ROUNDS = 16
_MASK = (1 << 64) - 1
_SOURCE = "the STS Association issues the tables to its licensees"


class TablesMissing(Problem):
    """EA07 was asked for, and no tables are configured."""

    slug = "sts-tables-missing"
    title = "Encryption algorithm 07 has no tables"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "encryption algorithm 07 needs substitution and permutation tables and none are configured",
            remedy=f"{_SOURCE}; hand them in as a JSON file (--tables FILE), or use encryption algorithm 11",
        )


class TablesRefused(Problem):
    """What was handed in as the tables of EA07 is something else."""

    slug = "sts-tables-refused"
    title = "These are no tables of encryption algorithm 07"
    status = 422


@dataclass(frozen=True, slots=True)
class StaTables:
    """Two substitutions of 4-bit nibbles and a permutation of 64 bits: ``p[i]`` is where bit ``i`` goes.

    Raises :class:`TablesRefused` unless each holds every number once.
    """

    s1: tuple[int, ...]
    s2: tuple[int, ...]
    p: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, table, size in (("s1", self.s1, 16), ("s2", self.s2, 16), ("p", self.p, 64)):
            if sorted(table) != list(range(size)):
                raise TablesRefused(
                    f"table {name} does not hold every number from 0 to {size - 1} once", remedy=_SOURCE
                )

    @classmethod
    def read(cls, *, document: object) -> StaTables:
        """The tables of a JSON object with the lists ``s1``, ``s2`` and ``p``; other members are ignored.

        Raises :class:`TablesRefused`.
        """
        if not isinstance(document, Mapping):
            raise TablesRefused("the tables are no JSON object", remedy="write the lists s1, s2 and p")
        found: list[tuple[int, ...]] = []
        for name in ("s1", "s2", "p"):
            table = document.get(name)
            if not isinstance(table, Sequence) or not all(type(entry) is int for entry in table):
                raise TablesRefused(f"table {name} is no list of whole numbers", remedy="write the lists s1, s2 and p")
            found.append(tuple(table))
        return cls(*found)


def sta_encrypt(*, block: int, key: bytes, tables: StaTables) -> int:
    """The ciphertext of a 64-bit block under an 8-byte key."""
    turning = _rotated(int.from_bytes(key) ^ _MASK, 64 - 12)
    for _ in range(_ROUNDS):
        block = _substituted(block, turning, tables.s1, tables.s2)
        block = _permuted(block, tables.p)
        turning = _rotated(turning, 1)
    return block


def sta_decrypt(*, block: int, key: bytes, tables: StaTables) -> int:
    """The plaintext of a 64-bit block under an 8-byte key."""
    s1, s2, p = (_inverse(table) for table in (tables.s1, tables.s2, tables.p))
    turning = _rotated(int.from_bytes(key) ^ _MASK, 64 - 12 + _ROUNDS - 1)
    for _ in range(_ROUNDS):
        block = _permuted(block, p)
        block = _substituted(block, turning, s1, s2)
        turning = _rotated(turning, 63)
    return block


def _rotated(word: int, left: int) -> int:
    left %= 64
    return (word << left | word >> (64 - left)) & _MASK


def _substituted(block: int, key: int, s1: Sequence[int], s2: Sequence[int]) -> int:
    """Each nibble through one of the tables: the key's highest bit beside it says which."""
    after = 0
    for low in range(0, 64, 4):
        table = s2 if key >> (low + 3) & 1 else s1
        after |= table[block >> low & 0xF] << low
    return after


def _permuted(block: int, p: Sequence[int]) -> int:
    after = 0
    for old, new in enumerate(p):
        after |= (block >> old & 1) << new
    return after


def _inverse(table: Sequence[int]) -> tuple[int, ...]:
    back = [0] * len(table)
    for index, entry in enumerate(table):
        back[entry] = index
    return tuple(back)
