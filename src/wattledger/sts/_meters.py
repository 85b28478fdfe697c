"""Numbers of meters: the 18-digit PAN, the meter's own number in it, and their check digits (ISO 7812, Luhn)."""

from __future__ import annotations

from dataclasses import dataclass

from wattledger.kernel import Problem

PAN_DIGITS = 18
_LONG_IIN = 6  # with a meter number of 11 digits
_SHORT_IIN = "0000"  # with a meter number of 13 digits
_TAKEN_AS_SUMS = str.maketrans({str(n): str(sum(divmod(2 * n, 10))) for n in range(10)})


class MeterNumberRefused(Problem):
    """A meter's number is not one, or its check digit says that it was mistyped."""

    slug = "sts-meter-number"
    title = "This is no number of a meter"
    status = 422


def luhn_digit(*, digits: str) -> int:
    """The check digit to be put behind ``digits``. Raises :class:`MeterNumberRefused` unless all are digits."""
    if not digits.isascii() or not digits.isdigit():
        raise MeterNumberRefused(f"{digits!r} has to be digits alone")
    doubled, plain = digits[::-1][::2], digits[::-1][1::2]
    return -sum(map(int, doubled.translate(_TAKEN_AS_SUMS) + plain)) % 10


@dataclass(frozen=True, slots=True)
class MeterPan:
    """A meter's primary account number: issuer ``iin``, the meter's own number ``iain`` (DRN), and a check digit.

    The issuer is 4 zeros before a number of 13 digits, or 6 digits before one of 11. Made by :meth:`read` and
    :meth:`of`, which check.
    """

    iin: str
    iain: str
    check: str

    def __str__(self) -> str:
        return self.iin + self.iain + self.check

    @classmethod
    def read(cls, *, pan: str, check_digits: bool = True) -> MeterPan:
        """The 18 digits taken apart.

        ``check_digits=False`` takes both check digits as they are: only for tests with numbers of no meter. Raises
        :class:`MeterNumberRefused`.
        """
        if len(pan) != PAN_DIGITS or not pan.isascii() or not pan.isdigit():
            raise MeterNumberRefused(
                f"meter PAN {pan!r} is not {PAN_DIGITS} digits", remedy="issuer, number of the meter, check digit"
            )
        issuer = len(_SHORT_IIN) if pan.startswith(_SHORT_IIN) else _LONG_IIN
        found = cls(iin=pan[:issuer], iain=pan[issuer:-1], check=pan[-1])
        if check_digits:
            _check(f"meter PAN {pan}", pan)
            _check(f"number {found.iain} in meter PAN {pan}", found.iain)
        return found

    @classmethod
    def of(cls, *, iin: str, iain: str, check_digits: bool = True) -> MeterPan:
        """The PAN of the meter ``iain`` of the issuer ``iin``; as :meth:`read` otherwise."""
        expected = 13 if iin == _SHORT_IIN else 11
        if (iin != _SHORT_IIN and (len(iin) != _LONG_IIN or iin.startswith(_SHORT_IIN))) or len(iain) != expected:
            raise MeterNumberRefused(
                f"issuer {iin!r} and number {iain!r} make no meter PAN",
                remedy="write an issuer of 6 digits with a number of 11, or the issuer 0000 with a number of 13",
            )
        return cls.read(pan=f"{iin}{iain}{luhn_digit(digits=iin + iain)}", check_digits=check_digits)


def _check(what: str, number: str) -> None:
    right = luhn_digit(digits=number[:-1])
    if number[-1] != str(right):
        raise MeterNumberRefused(
            f"{what} ends with the check digit {number[-1]}, not {right}", remedy="read it off the meter once more"
        )
