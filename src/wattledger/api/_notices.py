"""Where gateways call back to say what became of messages."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fastapi import FastAPI, Request, Response

from wattledger import notices
from wattledger.kernel import Clock
from wattledger.store import Store


def add_notices(api: FastAPI, *, prefix: str, store: Store, clock: Clock, channels: Sequence[notices.Channel]) -> None:
    """Add the address that a channel's gateway is given for its delivery reports."""
    reporting = {one.name: one for one in channels if isinstance(one, notices.ReportingChannel)}

    @api.get(f"{prefix}/notices/reports/{{channel}}", status_code=204, include_in_schema=False)  # for machines we told
    def report(channel: str, request: Request) -> Response:
        if channel not in reporting:
            raise notices.ReportRefused(f"no channel {channel!r} is told what becomes of its messages")
        said = reporting[channel].read_report(request.query_params)
        with store.write() as tx:
            notices.take_report(
                tx,
                channel=channel,
                report=said,
                now=clock.now(),
                jitter=lambda most: random.randint(0, most),  # noqa: S311 - spreads retries, keeps no secret
            )
        return Response(status_code=204)
