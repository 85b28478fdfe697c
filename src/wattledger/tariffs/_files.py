"""A tariff from a file: ours in YAML or JSON, or URDB's JSON, recognised by content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wattledger.tariffs._document import Fault, TariffRefused, read_json, read_yaml
from wattledger.tariffs._language import Tariff, parse_tariff
from wattledger.tariffs._urdb import TierConvention, import_urdb, is_urdb

_MOST_BYTES = 8_000_000


def load_tariff(path: Path, *, tiers: TierConvention | None = None) -> Tariff:
    """The tariff in a file.

    ``tiers`` names the convention under which a URDB document's tiers are read (``sam`` when not given); our own
    tariffs state theirs. Raises :class:`TariffRefused`, also for a file that cannot be read.
    """
    source = str(path)
    text = _text(path, source)
    lines: dict[str, int] = {}
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        content = read_json(text, source=source)
    else:
        content, lines = read_yaml(text, source=source)
    if isinstance(content, Mapping) and is_urdb(content):
        return import_urdb(content, tiers=tiers or "sam", source=source)
    if tiers is not None:
        raise _refused(
            source, f"only a URDB document leaves the tiers' convention open; this one states its own, not {tiers!r}"
        )
    return parse_tariff(content, source=source, lines=lines)


def _text(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _refused(source, f"cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise _refused(source, "is too large to be a tariff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(source, "is not UTF-8 text", line) from error


def _refused(source: str, cause: str, line: int | None = None) -> TariffRefused:
    return TariffRefused(source=source, faults=[Fault("", line, cause)])
