"""The bill of what was counted, whole or in parts that different versions price."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast, overload

from wattledger.tariffs._counted import counts_of, together
from wattledger.tariffs._counting import RatingState
from wattledger.tariffs._history import History
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._lines import ExactRating, Rating
from wattledger.tariffs._settlement import Among, Settlement


@overload
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: Literal[False] = False
) -> Rating: ...
@overload
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: Literal[True]
) -> ExactRating: ...
def settle(
    *, tariff: Tariff, state: RatingState, until: datetime | None = None, exact: bool = False
) -> Rating | ExactRating:
    """The bill of what was counted.

    What is charged for time is that of the local days begun before ``until``, so that running totals end at the bill of
    the whole period (``None``).
    """
    return settlement_of(tariff, state, until, exact=exact).rating()


def history_after(*, tariff: Tariff, state: RatingState, exact: bool = False) -> History:
    """What this period leaves to the bills after it: hand it to the next ``open_state``.

    ``exact``: as unrounded bills leave it.
    """
    return settlement_of(tariff, state, None, exact=exact).history()


def settlement_of(tariff: Tariff, state: RatingState, until: datetime | None, *, exact: bool) -> Settlement:
    """The settling of a period, after the earlier parts of its bill if it has any.

    What the whole bill decides (the slab that its energy reached, conditions on its usage, the minimum and the cap of a
    bill, its rounding) is decided about the earlier parts again, with every part that comes. The difference stands in
    the last part, so that the parts' totals add up to the bill whenever one looks.
    """
    kept = state.history
    if not kept.parts or kept.bill is None or kept.bill[0] != state.bill[0]:
        return Settlement(tariff, state, until, exact=exact)
    parts = [(one.tariff, cast("RatingState", one.state), None) for one in kept.parts]
    before = _settled_together(parts, exact=exact)
    *again, last = _settled_together([*parts, (tariff, state, until)], exact=exact)
    for then, now in zip(before, again, strict=True):
        last.price_again(then, now)
    return last


def _settled_together(parts: Sequence[tuple[Tariff, RatingState, datetime | None]], *, exact: bool) -> list[Settlement]:
    """The parts of a bill, each knowing the others."""
    counts = [counts_of(tariff, state) for tariff, state, _ in parts]
    found: list[Settlement] = []
    for number, (tariff, state, until) in enumerate(parts):
        rest = parts[number + 1 :]
        later = together(state.bill[0], counts[number + 1 :]) if rest else None
        names = frozenset(charge.name for other, _, _ in rest for charge in other.charges)
        among = Among(earlier=tuple(found), later=later, later_charges=names)
        found.append(Settlement(tariff, state, until, exact=exact, among=among))
    return found
