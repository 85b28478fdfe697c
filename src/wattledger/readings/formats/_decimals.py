"""Numbers as people write them, ``1.234,5`` and ``1 234.5``, as digits with a decimal point.

What a point or a comma means is seen from the whole column; where both readings are possible the column is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wattledger.readings.formats._exact import BadNumber
from wattledger.readings.formats._source import shown

SPACES = " \u00a0\u202f'\u2019"
"""What sets off thousands and is never a decimal sign."""

_SPACED = re.compile(rf"[+-]?[0-9]{{1,3}}(?:[{SPACES}][0-9]{{3}})+(?:[.,][0-9]*)?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_GROUPED_ONCE = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_SMALL = re.compile(r"[+-]?[1-9][0-9]{0,2}")


def pointed(texts: Sequence[str], *, delimiter: str) -> tuple[list[str], list[str]]:
    """The numbers with a decimal point and nothing between their digits, and sentences of what was concluded.

    Raises :class:`BadNumber` where a number is none as the others are, or may be read in two ways.
    """
    plain = _without_spaces(texts)
    if not any("," in text for text in plain):
        return _without_points(plain, delimiter)
    said: list[str] = []
    grouped = plain
    if _comma_is_decimal(plain, delimiter):
        _refuse_if_either(plain, ",")
        said = ["The comma in the values is the decimal sign."]
        grouped = [_swapped(text) for text in plain]
    for index, text in enumerate(grouped):
        if "," in text and not _GROUPED.fullmatch(text):
            raise BadNumber(index, f"{shown(texts[index])} is not a number as the others are")
    if delimiter == "," and not said and not any("." in text for text in grouped):
        first = next(index for index, text in enumerate(grouped) if "," in text)
        raise BadNumber(
            first,
            f"the comma in {shown(texts[first])} may be the decimal sign or set off thousands; nothing tells which",
        )
    return [text.replace(",", "") for text in grouped], said


def _without_spaces(texts: Sequence[str]) -> list[str]:
    found = list(texts)
    for index, text in enumerate(texts):
        if any(space in text for space in SPACES):
            if not _SPACED.fullmatch(text):
                raise BadNumber(index, f"{shown(text)} is not a number")
            found[index] = text.translate(_NO_SPACES)
    return found


_NO_SPACES = dict.fromkeys(map(ord, SPACES))


def _without_points(texts: list[str], delimiter: str) -> tuple[list[str], list[str]]:
    """Numbers without any comma: points are decimal signs unless a number has two."""
    if any(text.count(".") > 1 for text in texts):
        grouped = [_swapped(text) for text in texts]
        for index, text in enumerate(grouped):
            if "," in text and not _GROUPED.fullmatch(text):
                raise BadNumber(index, f"{shown(texts[index])} is not a number as the others are")
        return [text.replace(",", "") for text in grouped], ["The points in the values set off thousands."]
    if delimiter != ",":
        _refuse_if_either(texts, ".")
    return texts, []


def _refuse_if_either(texts: Sequence[str], sign: str) -> None:
    """Refuse ``950`` beside ``1.040``: with decimals it would be 950.000, and with thousands all is as it should be."""
    first = next((index for index, text in enumerate(texts) if sign in text), None)
    if first is None or not all(_GROUPED_ONCE.fullmatch(text) for text in texts if sign in text):
        return
    whole = [text for text in texts if sign not in text and text.strip("+-0.")]
    if whole and all(_SMALL.fullmatch(text) for text in whole):
        what = "point" if sign == "." else "comma"
        raise BadNumber(
            first,
            f"the {what} in {shown(texts[first])} may be the decimal sign or set off thousands, as {shown(whole[0])} "
            "has none; nothing tells which",
        )


def _comma_is_decimal(texts: Sequence[str], delimiter: str) -> bool:
    with_comma = [text for text in texts if "," in text]
    both = next((text for text in with_comma if "." in text), None)
    if both is not None:
        return both.rfind(",") > both.rfind(".")
    if any(not _GROUPED.fullmatch(text) or text.lstrip("+-").startswith("0") for text in with_comma):
        return True
    # 1,234 everywhere: what the points in other numbers are tells, and else what the delimiter suggests.
    return delimiter != "," and not any("." in text for text in texts)


def _swapped(text: str) -> str:
    return text.replace(",", "\0").replace(".", ",").replace("\0", ".")
