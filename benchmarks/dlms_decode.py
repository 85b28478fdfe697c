"""How fast what meters say is read, beside dlms-cosem 21.3.2 (MIT) in the same process, on the same bytes.

An encrypted push (general-glo-ciphering, a notification of some twenty registers) from the closed bytes to values with
its tag checked, and a load profile of 96 rows. Both give the same values, which is checked first. ``--json`` prints the
figures.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from wattledger.dlms import (
    Ciphered,
    Data,
    DataNotification,
    DateTime,
    Keys,
    SecurityControl,
    array,
    decode,
    encode,
    int16,
    octets,
    protect,
    read_apdu,
    structure,
    uint8,
    uint32,
    unprotect,
)

KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
TITLE = b"WLG\0\0\0\0\1"
REGISTERS = 18
ROWS = 96
ROUNDS = 7
WANTED = {"push": 5, "profile": 10}
"""How many times the peer's speed is asked of us."""


def push() -> bytes:
    """A notification as it leaves the meter."""
    pairs = [part for number in range(REGISTERS) for part in (octets(bytes((1, 0, number, 8, 0, 255))), uint32(number))]
    body = structure(octets(b"WLG-VM-1"), *pairs, int16(-3))
    plain = DataNotification(1, None, body).encoded
    control = SecurityControl(suite=0, authenticated=True, encrypted=True)
    return Ciphered(0xDB, protect(plain, control=control, title=TITLE, counter=7, keys=KEYS), TITLE).encoded


def profile() -> bytes:
    """A day: clock, status, import and export of each quarter-hour."""

    def row(number: int) -> Data:
        hour, quarter = divmod(number, 4)
        clock = DateTime(2026, 11, 22, 7, hour, 15 * quarter, 0, 0, 0, 0)
        return structure(octets(clock.encoded), uint8(0), uint32(630_000 + 7 * number), uint32(0))

    return encode(array([row(number) for number in range(ROWS)]))


def ours_push(apdu: bytes) -> Any:  # noqa: ANN401 - what a meter says may be anything
    closed, _ = read_apdu(apdu)
    assert isinstance(closed, Ciphered)
    assert closed.title is not None
    opened = unprotect(closed.protected, title=closed.title, keys=KEYS)
    notification, _ = read_apdu(opened.text)
    assert isinstance(notification, DataNotification)
    return notification.body


def peers(cosem: Any) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:  # noqa: ANN401 - a module of which nothing is known
    """The same by dlms-cosem: of a push, and of a profile."""
    xdlms = importlib.import_module(f"{cosem.__name__}.protocol.xdlms")
    values = importlib.import_module(f"{cosem.__name__}.utils").parse_as_dlms_data

    def theirs_push(apdu: bytes) -> Any:  # noqa: ANN401 - as ours
        closed = xdlms.GeneralGlobalCipher.from_bytes(apdu)
        plain = closed.to_plain_apdu(encryption_key=KEYS.encryption, authentication_key=KEYS.authentication)
        return values(xdlms.DataNotification.from_bytes(plain).body)

    return theirs_push, values


def per_second(work: Callable[[], object], *, times: int) -> int:
    """The best of some rounds."""
    best = min(_timed(work, times) for _ in range(ROUNDS))
    return times * 10**9 // best


def _timed(work: Callable[[], object], times: int) -> int:
    began = time.perf_counter_ns()
    for _ in range(times):
        work()
    return time.perf_counter_ns() - began


def flat(value: Any) -> Any:  # noqa: ANN401 - whatever was read
    """Lists for tuples, bytes for byte arrays: what the two libraries call differently."""
    if isinstance(value, list | tuple):
        return [flat(item) for item in value]
    return bytes(value) if isinstance(value, bytearray) else value


def main() -> None:
    said, day = push(), profile()
    figures: dict[str, Any] = {"push_bytes": len(said), "profile_bytes": len(day)}
    ours: dict[str, Callable[[], Any]] = {"push": partial(ours_push, said), "profile": lambda: decode(day)[0]}
    try:
        cosem = importlib.import_module("dlms_cosem")
    except ImportError:
        cosem = None
    theirs: dict[str, Callable[[], Any]] = {}
    if cosem is not None:
        by_push, by_values = peers(cosem)
        theirs = {"push": partial(by_push, said), "profile": partial(by_values, day)}
    for what, work in ours.items():
        figures[what] = {"per_second": per_second(work, times=2_000)}
        if what in theirs:
            assert flat(theirs[what]()) == flat(work()), f"{what}: the two do not read the same"
            peer = per_second(theirs[what], times=100)
            figures[what] |= {"dlms_cosem_per_second": peer, "times": figures[what]["per_second"] / peer}
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'':<34}{'ours /s':>12}{'dlms-cosem /s':>16}{'times':>8}{'asked':>8}")
    titles = {"push": f"encrypted push, {len(said)} bytes", "profile": f"profile, {ROWS} rows, {len(day)} bytes"}
    for what, title in titles.items():
        found = figures[what]
        beside = (
            f"{found['dlms_cosem_per_second']:>16,}{found['times']:>8.1f}" if "times" in found else f"{'absent':>16}"
        )
        print(f"{title:<34}{found['per_second']:>12,}{beside}{WANTED[what]:>8}")


if __name__ == "__main__":
    main()
