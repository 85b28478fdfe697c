"""Who may speak with a meter and how: security setup (class 64), access points (17), image transfer (18)."""

from __future__ import annotations

from dataclasses import replace

from wattledger.dlms import (
    ActionResult,
    Data,
    DlmsError,
    Keys,
    Outcome,
    Selection,
    Tag,
    array,
    bits,
    boolean,
    enum,
    obis,
    octets,
    structure,
    uint16,
    uint32,
    unwrap_key,
)
from wattledger.virtual_meter._cosem import DENIED, DONE, Invoke, Readers, refused
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._measures import device_name, system_title
from wattledger.virtual_meter._meter import VirtualMeter

SECURITY = obis("0-0:43.0.0")


def _security(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    values = {
        2: enum(3 if meter.keys else 0),
        3: enum(meter.suite),
        4: octets(b""),
        5: octets(system_title(meter)),
    }
    if attribute not in values:
        raise refused()
    return values[attribute]


def _transfer_keys(meter: VirtualMeter, given: Data | None) -> Outcome:
    """key_transfer: each key is wrapped under the master key."""
    if meter.master is None or given is None or given.tag is not Tag.ARRAY:
        return DENIED
    keys: dict[int, bytes] = {}
    try:
        for part in given.value:
            number, wrapped = part.value
            keys[int(number.value)] = unwrap_key(wrapped.value, master=meter.master)
    except (DlmsError, TypeError, ValueError, AttributeError):
        return ActionResult.OTHER_REASON, None
    if not set(keys) <= {0, 1, 2, 3}:
        return ActionResult.TYPE_UNMATCHED, None
    meter.install_keys(keys)
    return DONE


def _points(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 17: the logical devices behind this address."""
    if attribute != 2:  # noqa: PLR2004 - the list
        raise refused()
    return array([structure(uint16(meter.number), octets(device_name(meter)))])


def _image(_meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 18: no image can be transferred to a meter that has none."""
    values = {2: uint32(0), 3: bits(""), 4: uint32(0), 5: boolean(value=False), 6: enum(0), 7: array([])}
    if attribute not in values:
        raise refused()
    return values[attribute]


def spoken_title(meter: VirtualMeter) -> bytes:
    """The system title that the meter speaks under: its own, unless something is wrong."""
    title = system_title(meter)
    return title[:-1] + bytes((title[-1] ^ 0xFF,)) if Fault.WRONG_TITLE in meter.faults else title


def spoken_keys(meter: VirtualMeter) -> Keys | None:
    """The keys that the meter speaks with: its own, unless something is wrong."""
    if meter.keys is None or Fault.WRONG_KEY not in meter.faults:
        return meter.keys
    return replace(meter.keys, encryption=bytes(one ^ 0xFF for one in meter.keys.encryption))


def next_counter(meter: VirtualMeter) -> int:
    """The invocation counter of the meter's next frame; it rises, unless something is wrong."""
    if Fault.WRONG_COUNTER not in meter.faults or not meter.counter:
        meter.counter += 1
    return meter.counter


READERS: Readers = {(17, obis("0-0:41.0.0")): _points, (18, obis("0-0:44.0.0")): _image, (64, SECURITY): _security}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {(64, SECURITY, 2): _transfer_keys}
