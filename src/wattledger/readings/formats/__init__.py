"""Files that readings come in, read exactly: every reading is stored, a duplicate, or refused by name.

A room within the room: the rest of ``readings`` uses only what stands here.
"""

from wattledger.readings.formats._model import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    Refused,
    ZoneNeeded,
)

__all__ = [
    "Channel",
    "Commodity",
    "Direction",
    "FileFormat",
    "ReadingsFile",
    "ReadingsFileRefused",
    "Refused",
    "ZoneNeeded",
]
