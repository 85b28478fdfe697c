"""One of our virtual meters, for strangers to read: our_meter.py none|low|gmac PDU_BYTES.

Prints ``ready PORT`` when it listens; the wrapper and HDLC are both understood there.
"""

from __future__ import annotations

import asyncio
import os
import sys

import facts
import numpy as np

from wattledger.dlms import Keys
from wattledger.kernel import ManualClock, epoch
from wattledger.virtual_meter import DayLoad, LineSettings, MeterLine, VirtualMeter


async def serve(level: str, pdu_bytes: int) -> None:
    """Until the process is ended."""
    meter = VirtualMeter(
        number=1,
        clock=ManualClock(facts.NOW),
        load=DayLoad(np.full(facts.ROWS_OF_A_DAY, facts.QUARTER_WH)),
        installed=epoch(facts.INSTALLED),
        keys=Keys(facts.KEY, facts.AUTHENTICATION_KEY) if level == "gmac" else None,
        password=facts.PASSWORD if level == "low" else None,
    )
    line = MeterLine([meter], settings=LineSettings(chance=os.urandom, pdu_max=pdu_bytes))
    async with line.alone(meter, host="127.0.0.1", port=0) as port:
        sys.stdout.write(f"ready {port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
