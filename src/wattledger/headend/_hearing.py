"""Hearing meters that speak by themselves, whatever protocol they speak."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from wattledger.headend._collection import Tools
from wattledger.headend._lines_in import ListenerSettings
from wattledger.headend._queue import RetryPolicy


@asynccontextmanager
async def hearing(
    *,
    tools: Tools,
    door: socket.socket | None = None,
    settings: ListenerSettings | None = None,
    retry: RetryPolicy | None = None,
    kept: Callable[[], None] = lambda: None,
    met: Callable[[], None] = lambda: None,
    look_every: float = 30,
) -> AsyncIterator[None]:
    """Hear meters for as long as it is entered: those linked by MQTT, and DLMS meters that connect at ``door``.

    ``door`` is a bound socket. ``kept`` is called when something was committed, ``met`` when a meter waits to be read:
    rounds of collection with these ``tools`` in the same event loop read it. Each ``look_every`` seconds it is looked
    who is linked by MQTT, with which keys, and which broker is to be tried again.
    """
    # Each loads its protocol: most processes hear nobody.
    from wattledger.headend._listener import listening  # noqa: PLC0415 - as just said
    from wattledger.headend._subscriber import subscribing  # noqa: PLC0415 - likewise

    policy = retry or RetryPolicy()
    async with AsyncExitStack() as open_:
        await open_.enter_async_context(subscribing(tools=tools, retry=policy, kept=kept, look_every=look_every))
        if door is not None:
            await open_.enter_async_context(
                listening(
                    tools=tools, door=door, settings=settings or ListenerSettings(), retry=policy, kept=kept, met=met
                )
            )
        yield
