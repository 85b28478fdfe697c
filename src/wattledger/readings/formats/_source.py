"""Getting at a file's bytes and text: unpacking, decoding, and refusing with path and line."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from wattledger.readings.formats._model import ReadingsFileRefused

MOST_BYTES = 256 << 20
"""Unpacked, per file; about ten years of one-minute readings of ten meters. More is a bomb or belongs in pieces."""

_LONGEST_LINE = 1 << 20
_SHOWN = 40


def shown(text: str) -> str:
    """``text`` quoted for a message, cut when it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


@dataclass(frozen=True, slots=True)
class Source:
    """One unpacked file: its content, and where it came from for messages."""

    path: Path
    data: bytes
    member: str | None = None

    def refuse(self, cause: str, *, line: int | None = None, remedy: str | None = None) -> ReadingsFileRefused:
        """The refusal of the whole file, to be raised."""
        inside = f"in {self.member}: " if self.member else ""
        return ReadingsFileRefused(path=self.path, cause=inside + cause, line=line, remedy=remedy)

    def decoded(self) -> tuple[str, str | None]:
        """The text with line feeds as line ends, and a sentence when its encoding had to be guessed."""
        data, note = self.data, None
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "utf-16"
        else:
            encoding = "utf-8-sig"
            nul = data.find(b"\0")
            if nul >= 0:
                raise self.refuse("this is not text (it holds zero bytes)", line=data.count(b"\n", 0, nul) + 1)
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-16":
                raise self.refuse("this is not valid UTF-16 text", line=1) from error
            text = data.decode("latin-1")
            note = "The file is not UTF-8; it was read as Latin-1."
        return text.replace("\r\n", "\n").replace("\r", "\n"), note

    def lines(self) -> tuple[list[str], str | None]:
        """The text cut into lines, and the sentence of :meth:`decoded`."""
        text, note = self.decoded()
        lines = text.split("\n")
        if len(text) > _LONGEST_LINE:
            for number, line in enumerate(lines, 1):
                if len(line) > _LONGEST_LINE:
                    raise self.refuse(f"the line is {len(line):,} characters long", line=number)
        return lines, note


def sources_in(path: Path) -> list[Source]:
    """The file at ``path``, or the files packed in it (zip, gzip); at least one."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ReadingsFileRefused(
                path=path, cause=f"the file is larger than {MOST_BYTES >> 20} MiB", remedy="split it by date"
            )
        data = path.read_bytes()
    except OSError as error:
        cause = (error.strerror or "cannot be read").lower()
        raise ReadingsFileRefused(path=path, cause=cause, remedy="give the path of a file you may read") from error
    whole = Source(path, data)
    if data.startswith(b"\x1f\x8b"):
        return [Source(path, _gunzipped(whole))]
    if data.startswith(b"PK\x03\x04"):
        return _unzipped(whole)
    return [whole]


def _gunzipped(packed: Source) -> bytes:
    import io  # noqa: PLC0415 - only here, and only for packed files

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed.data)) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise packed.refuse(f"the gzip file is damaged ({error})") from error
    if len(data) > MOST_BYTES:
        raise packed.refuse(f"it unpacks to more than {MOST_BYTES >> 20} MiB", remedy="split it by date")
    return data


def _unzipped(packed: Source) -> list[Source]:
    import io  # noqa: PLC0415 - as above

    found: list[Source] = []
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(packed.data)) as archive:
            if "[Content_Types].xml" in archive.namelist():
                raise packed.refuse("this is an Office document", remedy="save the sheet as CSV")
            for info in archive.infolist():
                if info.is_dir() or info.filename.startswith("__MACOSX/"):
                    continue
                with archive.open(info) as file:
                    data = file.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise packed.refuse(f"it unpacks to more than {MOST_BYTES >> 20} MiB", remedy="split it by date")
                found.append(Source(packed.path, data, info.filename))
    # What a damaged, encrypted or exotic archive raises is spread over all of these.
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        IndexError,
        OverflowError,
    ) as error:
        raise packed.refuse(f"the zip file cannot be unpacked ({error})") from error
    if not found:
        raise packed.refuse("the zip file holds no file")
    return found
