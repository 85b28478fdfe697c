"""The DLMS driver of our head-end reads a meter that is not ours.

    python our_head_end.py PORT wrapper|hdlc none|low|gmac lists|singles

The meter is gurux_server.py; ``singles`` says that it takes no lists, and then it is also asked for what it lacks.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import facts
from facts import check, step

from wattledger.headend.conformance import PlainCounters
from wattledger.headend.dlms import DlmsDriver
from wattledger.headend.ports import KeySet, MeterFault, MeterLink, Secret, Session
from wattledger.kernel import SystemClock, epoch

SCALE = 1  # the meter counts tens of Wh
ABSENT = "1-0:2.8.0"
PATIENCE = 30
KEYS = {
    "none": KeySet(),
    "low": KeySet(password=Secret(facts.PASSWORD)),
    "gmac": KeySet(unicast=Secret(facts.KEY), authentication=Secret(facts.AUTHENTICATION_KEY)),
}

WRONG = {
    "low": KeySet(password=Secret(facts.WRONG_PASSWORD)),
    "gmac": KeySet(unicast=Secret(facts.KEY), authentication=Secret(facts.WRONG_KEY)),
}

# gurux-dlms deciphers without a look at the tag, and answers: then it is we who refuse.
REFUSED_AS = {"low": "bad_key", "gmac": "bad_tag"}


async def converse(session: Session, *, lacking: bool) -> None:
    """All that the pairing is about."""
    with step("clock"):
        clock = await session.read_clock()
        check(seen=(clock.at, clock.valid), expected=(epoch(facts.NOW), True))
    with step("register"):
        (energy,) = await session.read_registers(names=["1-0:1.8.0"])
        check(seen=(energy.channel.scale, energy.channel.unit), expected=(SCALE, "Wh"))
        check(seen=energy.value * 10**SCALE, expected=facts.register(facts.NOW))
    if lacking:
        with step("lacking"):
            check(seen=list(await session.read_registers(names=[ABSENT])), expected=[])
    else:
        with step("list"):  # three attributes in one request
            relay = await session.read_relay()
            check(seen=(relay.output_state, relay.control_mode), expected=(True, 4))
    await _read_profile(session)
    for name, on in (("relay off", False), ("relay on", True)):
        with step(name):
            await session.switch(on=on)
            relay = await session.read_relay()
            check(seen=(relay.output_state, relay.control_state), expected=(on, "connected" if on else "disconnected"))


async def _read_profile(session: Session) -> None:
    expected = [(epoch(stamp - facts.QUARTER), wh) for stamp, wh in facts.day_rows()]
    day = epoch(facts.DAY)
    # The day is longer than an APDU of this meter.
    for name, first, last in (("blocks", 0, len(expected)), ("range", 4, 8)):
        with step(name):
            rows = await session.read_profile(
                profile="1-0:99.1.0",
                start=day + first * int(facts.QUARTER.total_seconds()),
                end=day + last * int(facts.QUARTER.total_seconds()),
            )
            energies = [value * 10**SCALE for value in rows.values[:, 0].tolist()]
            check(seen=list(zip(rows.starts.tolist(), energies, strict=True)), expected=expected[first:last])


async def main() -> None:
    """One conversation."""
    port, framing, level, lists = sys.argv[1:]
    form = "general" if framing == "hdlc" else "service"  # how APDUs are ciphered
    options = {"client": str(facts.CLIENTS[level]), "framing": framing, "form": form}
    link = MeterLink(meter_id="stranger", driver="dlms", address=f"127.0.0.1:{port}", options=options)
    if level in WRONG:
        with step("refused"):
            refusing = DlmsDriver().open(link, keys=WRONG[level], counters=PlainCounters(first=1), clock=SystemClock())
            try:
                await refusing.__aenter__()
            except MeterFault as fault:
                check(seen=fault.kind, expected=REFUSED_AS[level])
            else:
                raise AssertionError("the meter has accepted a wrong secret")
    opened = DlmsDriver().open(link, keys=KEYS[level], counters=PlainCounters(first=1), clock=SystemClock())
    with step("associate"):
        session = await opened.__aenter__()
    await converse(session, lacking=lists == "singles")
    with step("release"):
        await opened.__aexit__(None, None, None)


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), timedelta(seconds=PATIENCE).total_seconds()))
