"""Every decoder of the wire, and good messages to begin with; run by itself it damages them for minutes: ``make fuzz``.

What is asked of a decoder is a value or an error of its own, soon, and no memory that grows. It ends with 1 at the
first input for which that does not hold, and shows it.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlms_peers import CLOCK, ENERGY, KEYS, METER_TITLE, profile

from wattledger.dlms import (
    DlmsError,
    FrameReader,
    GeneralBlock,
    Packet,
    WrapperReader,
    array,
    decode,
    decode_typed,
    encode,
    long_frames,
    octets,
    read_acse,
    read_apdu,
    read_frame,
    read_long_frames,
    read_messages,
    structure,
    uint32,
    unprotect,
    unwrap,
)

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "data": decode,
    "typed data": decode_typed,
    "apdu": read_apdu,
    "acse": read_acse,
    "wrapper": unwrap,
    "hdlc": read_frame,
    "hdlc stream": lambda octets: list(FrameReader().feed(octets)),
    "wrapper stream": lambda octets: list(WrapperReader().feed(octets)),
    "m-bus": read_long_frames,
    "ciphered": lambda octets: unprotect(octets, title=METER_TITLE, keys=KEYS),
    "messages": read_messages,
    "messages with keys": lambda octets: read_messages(octets, keys=KEYS, title=METER_TITLE),
}
SEEDS = [
    encode(profile(6)),
    encode(structure(array([uint32(7)] * 3), octets(bytes(12)))),
    b"\x13\x02\x02\x12\x06\x0c" + bytes(12),  # a compact array
    b"\x0f\0\0\0\1\x0c" + bytes(12) + encode(structure(octets(CLOCK.name), uint32(1))),
    b"\xc4\1\xc1\0" + encode(profile(2)),
    b"\xc0\3\xc1\2" + CLOCK.encoded + b"\0" + ENERGY.encoded + b"\0",
    bytes.fromhex(
        "6036a1090607608574050801018a0207808b0760857405080205ac0a80083132333435363738be10040e01000000065f1f0400007e1f04b0"
    ),
    Packet(1, 16, b"\xc4\1\xc1\0\x06\0\0\0\1").encoded,
    long_frames(b"\x0f\0\0\0\1\0" + encode(profile(30)), source=1, destination=103),
    GeneralBlock(last=True, streaming=False, window=1, number=1, acknowledged=0, octets=b"\xc4\1\xc1\1\3").encoded,
]

SECONDS_EACH = 2
GROWTH_MAX = 200 * 1024
"""KiB that the process may grow by."""
_BATCH = 2_000
_LONGEST = 70_000


def published() -> list[bytes]:
    """Frames of many makers, where they lie beside the repository."""
    file = Path(__file__).parents[3] / "shared" / "vectors" / "frames.json"
    frames = json.loads(file.read_text())["frames"] if file.exists() else []
    return [bytes.fromhex(frame["hex"]) for frame in frames if "hex" in frame]


def damage(good: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """Some bytes others, gone, doubled, or those of another message."""
    message = bytearray(good)
    for _ in range(dice.choice((0, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(message) + 1)
        match dice.randrange(7):
            case 0 if at < len(message):
                message[at] = dice.choice((0, 1, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, dice.randrange(256)))
            case 1:
                del message[at:]
            case 2:
                del message[at : at + dice.randrange(1, 5)]
            case 3:
                message[at:at] = message[at : at + dice.randrange(1, 60)] * dice.randrange(1, 4)
            case 4:
                message[at:at] = dice.randbytes(dice.randrange(1, 8))
            case 5:
                other = dice.choice(others)
                message[at:] = other[dice.randrange(len(other) + 1) :]
            case _ if at < len(message):
                message[at] ^= 1 << dice.randrange(8)
    return bytes(message[:_LONGEST])


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS_EACH} s")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main(minutes: str = "10", seed: str = "") -> int:
    """Fuzz for so many minutes; returns the exit code."""
    number = int(seed) if seed else random.SystemRandom().randrange(10**9)
    dice, seeds = random.Random(number), [*SEEDS, *published()]  # noqa: S311 - a seed that can be told
    signal.signal(signal.SIGALRM, _too_long)
    began, count, before = time.monotonic(), 0, 0
    while time.monotonic() - began < 60 * float(minutes):
        for _ in range(_BATCH):
            buffer = damage(dice.choice(seeds), dice, seeds)
            name, decoder = dice.choice(list(DECODERS.items()))
            signal.alarm(SECONDS_EACH)
            try:
                decoder(buffer)
            except DlmsError:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                _say(f"seed {number}: {name} of {buffer.hex()}: {error!r}")
                return 1
            finally:
                signal.alarm(0)
        count += _BATCH
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = before or used
        if used - before > GROWTH_MAX:
            _say(f"seed {number}: the process grew by {(used - before) // 1024} MiB in {count:,} inputs")
            return 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    _say(f"seed {number}: {count:,} inputs, no crash, none longer than {SECONDS_EACH} s, grown by {grown // 1024} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
