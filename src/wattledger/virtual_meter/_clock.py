"""A meter's clock: it drifts, it is set, and it shows the local time of its zone."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from wattledger.dlms import ClockStatus, DateTime

_MILLION = 1_000_000


class DriftingClock:
    """``shown(at)`` is what the meter takes for the instant ``at``; both are epoch seconds.

    ``ppm``: how many millionths it runs fast. Every setting begins a new stretch; what was before keeps its own time.
    """

    def __init__(self, *, zone: tzinfo, ppm: int = 0, ahead: int = 0, since: int = 0) -> None:
        self.zone = zone
        self._ppm = ppm
        self._stretches = [(since, since + ahead)]
        """Since when (really), and what the meter showed then."""

    def shown(self, at: int) -> int:
        """What the meter takes for this instant."""
        since, showed = self._stretches[-1]
        return showed + at - since + (at - since) * self._ppm // _MILLION

    def really(self, shown: int) -> int:
        """The instant that the meter took, or takes, for ``shown``; where it was set back, the latest one."""
        place = bisect_right([showed for _, showed in self._stretches], shown) if len(self._stretches) > 1 else 1
        since, showed = self._stretches[max(place, 1) - 1]
        passed = shown - showed
        return since + passed - passed * self._ppm // (_MILLION + self._ppm)

    def set(self, *, at: int, to: int) -> None:
        """From the instant ``at`` on the meter shows ``to``."""
        earlier = [one for one in self._stretches if one[1] < to]
        self._stretches = [*earlier[-7:], (at, to)]

    def moment(self, shown: int, *, trusted: bool = True) -> DateTime:
        """What the meter shows, in its local time, with deviation and summer time, and whether it believes it."""
        local = datetime.fromtimestamp(shown, self.zone)
        status = ClockStatus.DAYLIGHT_SAVING if local.dst() else ClockStatus(0)
        status |= ClockStatus(0) if trusted else ClockStatus.INVALID
        return DateTime.at(local.replace(microsecond=0), status=int(status))

    def instant(self, moment: DateTime, *, shown: int) -> int:
        """What a date-time that a client wrote is in the meter's reckoning; open parts are taken as of ``shown``."""
        deviation = moment.deviation_minutes
        local = datetime.fromtimestamp(shown, self.zone)
        zone: tzinfo = self.zone if deviation is None else timezone(timedelta(minutes=-deviation))
        year, month, day = (
            told if told is not None else now
            for told, now in zip(moment[:3], (local.year, local.month, local.day), strict=True)
        )
        at = datetime(year, month, day, moment.hour or 0, moment.minute or 0, moment.second or 0, tzinfo=zone)
        return int(at.astimezone(UTC).timestamp())


def midnights(zone: tzinfo, *, last: int, count: int) -> list[int]:
    """The last ``count`` local midnights up to ``last``, epoch seconds, ascending."""
    day = datetime.fromtimestamp(last, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    naive = day.replace(tzinfo=None)
    found = [(naive - timedelta(days=back)).replace(tzinfo=zone) for back in range(count)]
    return [int(one.astimezone(UTC).timestamp()) for one in reversed(found)]


def month_starts(zone: tzinfo, *, last: int, count: int) -> list[int]:
    """The last ``count`` local month starts up to ``last``, epoch seconds, ascending."""
    day = datetime.fromtimestamp(last, zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for _ in range(count):
        found.append(int(day.astimezone(UTC).timestamp()))
        day = (day.replace(tzinfo=None, day=1) - timedelta(days=1)).replace(day=1).replace(tzinfo=zone)
    return found[::-1]
