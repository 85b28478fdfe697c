"""The COSEM objects of a virtual meter: which there are, what can be read, written and invoked, and by whom.

Logical names and attributes as in the Blue Book; a reading function per object, found by class and name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    Outcome,
    Reference,
    Selection,
    array,
    enum,
    int8,
    null,
    obis,
    octets,
    structure,
    uint8,
    uint16,
)
from wattledger.virtual_meter import _access, _credit, _measures, _profiles, _pushing, _switches, _tariff
from wattledger.virtual_meter._cosem import CLOCK, DENIED, Invoke, Read, Write, refused
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._measures import MANAGEMENT, PUBLIC, READER
from wattledger.virtual_meter._meter import VirtualMeter

_ASSOCIATION = obis("0-0:40.0.0")
_FOR_ANYBODY = {CLOCK, obis("0-0:42.0.0"), obis("0-0:43.1.0"), _ASSOCIATION, obis("0-0:41.0.0")}


def _association(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    match attribute:
        case 2:
            return array([_listed(kind, name) for kind, name in READERS])
        case 8:
            return enum(2)
    raise refused()


def _listed(kind: int, name: bytes) -> Data:
    attributes = array([structure(int8(number), enum(1), null()) for number in (1, 2, 3)])
    return structure(uint16(kind), uint8(0), octets(name), structure(attributes, array([])))


_ROOMS = (_access, _credit, _measures, _profiles, _pushing, _switches, _tariff)
READERS: Mapping[tuple[int, bytes], Read] = {key: reader for one in _ROOMS for key, reader in one.READERS.items()} | {
    (15, _ASSOCIATION): _association
}
"""Every object of a meter, and what reads it."""

_INVOKERS: Mapping[tuple[int, bytes, int], Invoke] = (
    _access.INVOKERS | _credit.INVOKERS | _measures.INVOKERS | _pushing.INVOKERS | _switches.INVOKERS | _tariff.INVOKERS
)
_WRITERS: Mapping[tuple[int, bytes, int], Write] = (
    _credit.WRITERS | _measures.WRITERS | _pushing.WRITERS | _switches.WRITERS | _tariff.WRITERS
)


@final
class MeterObjects:
    """A meter as a server sees it: :class:`wattledger.dlms.LogicalDevice`."""

    __slots__ = ("meter",)

    def __init__(self, meter: VirtualMeter) -> None:
        self.meter = meter

    def read(self, attribute: Reference, selection: Selection | None, *, client: int) -> Data:
        """See the port; anybody may read who the meter is, its clock, its counter, and all where it has no secret."""
        hidden = client == PUBLIC and attribute.name not in _FOR_ANYBODY and not _is_open(self.meter)
        if Fault.REFUSING in self.meter.faults or hidden:
            raise refused(AccessResult.READ_WRITE_DENIED)
        reader = READERS.get((attribute.class_id, attribute.name))
        if reader is None:
            known = any(name == attribute.name for _, name in READERS)
            raise refused(AccessResult.OBJECT_CLASS_INCONSISTENT if known else AccessResult.OBJECT_UNDEFINED)
        if attribute.number == 1:
            return octets(attribute.name)
        return reader(self.meter, attribute.number, selection)

    def write(self, attribute: Reference, _selection: Selection | None, value: Data, *, client: int) -> AccessResult:
        """See the port; only the management client writes."""
        writer = _WRITERS.get((attribute.class_id, attribute.name, attribute.number))
        if writer is None:
            known = (attribute.class_id, attribute.name) in READERS
            return AccessResult.READ_WRITE_DENIED if known else AccessResult.OBJECT_UNDEFINED
        return writer(self.meter, value) if self._may_act(client) else AccessResult.READ_WRITE_DENIED

    def invoke(self, method: Reference, parameter: Data | None, *, client: int) -> Outcome:
        """See the port; only the management client acts."""
        invoke = _INVOKERS.get((method.class_id, method.name, method.number))
        if invoke is None:
            return ActionResult.OBJECT_UNDEFINED, None
        return invoke(self.meter, parameter) if self._may_act(client) else DENIED

    def _may_act(self, client: int) -> bool:
        """A meter without keys obeys whoever has its password; one without a secret obeys anybody, as on a bench."""
        if self.meter.keys is not None:
            return client == MANAGEMENT
        return client == READER or _is_open(self.meter)


def _is_open(meter: VirtualMeter) -> bool:
    """Whether a meter has no secret at all."""
    return meter.keys is None and meter.password is None
