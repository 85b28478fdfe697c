"""Messages to people: kinds, wording in English and Chinese, de-duplication, channels."""

from wattledger.notices._notices import Notice, deliver_due, notices_of, notify
from wattledger.notices._wording import KINDS, UnknownKind
from wattledger.notices.ports import Channel, LogChannel, Message

__all__ = [
    "KINDS",
    "Channel",
    "LogChannel",
    "Message",
    "Notice",
    "UnknownKind",
    "deliver_due",
    "notices_of",
    "notify",
]
