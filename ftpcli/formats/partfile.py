"""The part file of a run: its records, on disk as soon as they are made, so that an interrupted run can go on.

The first line is a header with the run's fingerprint. Each further line is the record of one frame, with all digits
and the data that only the run itself needs (``private``). Only whole lines count: an incomplete end is cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ftpcli.datasets.native import Lines, decode_header, decode_record
from ftpcli.errors import BusyError, InputError, OutputError
from ftpcli.files import checked_json as checks
from ftpcli.files.lock import open_locked, same_file
from ftpcli.files.output import check_target, name_beside, writing
from ftpcli.formats.base import dumps
from ftpcli.formats.jsonl import encode_header, encode_record
from ftpcli.records import FramePoses, Header

NAME = "ftp-poses-part"
_SHOWN_DIFFERENCES = 4


@dataclass(frozen=True, slots=True, eq=False)
class PartRecord:
    """A stored frame and the private data it was stored with (JSON values)."""

    frame: FramePoses
    private: dict[str, Any]


def part_path(out: str | os.PathLike[str]) -> Path:
    """The part file of an output: ``OUT.part.jsonl`` beside it, shortened where that name would be too long."""
    return name_beside(out, "", ".part.jsonl")


def read_part(path: str | os.PathLike[str]) -> Iterator[PartRecord]:
    """The records of a part file that nobody writes any more, one at a time. Raises InputError."""
    try:
        handle = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    with handle:
        lines, after = Lines(handle, os.fspath(path)), -1
        header, _ = decode_header(lines.text(lines.next() or b""), lines.where, NAME)
        while (line := lines.next()) is not None:
            record = _decode(lines, line, header, after)
            after = record.frame.index
            yield record


def _decode(lines: Lines, line: bytes, header: Header, after: int) -> PartRecord:
    value = checks.parse(lines.text(line), lines.where)
    frame = decode_record(value, len(header.joints), lines.where, after, exact=True)
    return PartRecord(frame, checks.as_object(value.get("private", {}), "'private'", lines.where))


class PartWriter:
    """A locked, open part file. A context manager: leaving it closes the file, and keeps it if it holds a record.

    Attributes:
        path: the part file.
        header: the header as stored.
        records: complete records in it.
        last_index: frame index of the last one, -1 where there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Header,
        fingerprint: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Start a part file, or with ``resume`` go on with the existing one, if there is one.

        A part file without records holds nothing to go on with: it is replaced, whatever run it belongs to.

        Args:
            fingerprint: JSON values, nested or not, that a resumed run must share: input, options, version.
            overwrite: replace the part file of an earlier run.

        Raises:
            OutputError: another run is writing it, it cannot be written, or it holds records and neither ``resume``
                nor ``overwrite`` is given.
            InputError: it is no part file, or it belongs to another input, other options or another version; the
                message names the differences.
        """
        self.path = Path(path)
        self.header = header
        self.records = 0
        self.last_index = -1
        self._descriptor = self._open()
        try:
            self._end = self._body = 0
            if not overwrite:
                self._read(fingerprint, resume)
            if self.records == 0:
                self.header = header
                self._start(fingerprint)
        except BaseException:
            self.close()
            raise

    def _open(self) -> int:
        check_target(self.path, overwrite=True)
        with writing(self.path):
            descriptor = open_locked(os.fspath(self.path))
        if descriptor is None:
            raise BusyError(f"{self.path}: another run is writing this output; wait for it or name another output")
        return descriptor

    def _start(self, fingerprint: Mapping[str, Any]) -> None:
        self._cut(0)
        self._write(dumps({**encode_header(self.header), "format": NAME, "fingerprint": fingerprint}) + "\n")
        self._body = self._end

    def _read(self, fingerprint: Mapping[str, Any], resume: bool) -> None:
        """Count the whole records, check that they are of this run, and cut off what follows them."""
        with open(self.path, "rb") as handle:
            lines = Lines(handle, os.fspath(self.path))
            first = lines.next() or b""
            if not first.endswith(b"\n"):
                return  # stopped while writing the header: nothing is lost by starting again
            try:
                self.header, value = decode_header(lines.text(first), lines.where, NAME)
            except InputError:
                if resume:
                    raise
                raise self._in_the_way() from None
            self._body = self._end = len(first)
            while (length := self._next_record(lines)) is not None:
                self._end += length
        if self.records:
            if not resume:
                raise self._in_the_way()
            self._compare(value.get("fingerprint"), fingerprint)
            self._cut(self._end)

    def _in_the_way(self) -> OutputError:
        return OutputError(
            f"{self.path}: holds an unfinished run; go on with --resume, or start again with --overwrite"
        )

    def _next_record(self, lines: Lines) -> int | None:
        """Length of the next line if it is a whole record, else None."""
        try:
            line = lines.next()
            if line is None or not line.endswith(b"\n"):
                return None
            frame = _decode(lines, line, self.header, self.last_index).frame
        except InputError:
            return None
        self.records += 1
        self.last_index = frame.index
        return len(line)

    def _compare(self, stored: Any, wanted: Mapping[str, Any]) -> None:
        before = _flat(stored if isinstance(stored, dict) else {})
        now = _flat(json.loads(dumps(wanted)))
        keys = [
            key for key in [*now, *sorted(before.keys() - now.keys())] if before.get(key, _NONE) != now.get(key, _NONE)
        ]
        if not keys:
            return
        named = [f"{key} was {_shown(before, key)}, is now {_shown(now, key)}" for key in keys[:_SHOWN_DIFFERENCES]]
        more = f"; and {len(keys) - len(named)} more" if len(keys) > len(named) else ""
        raise InputError(
            f"{self.path}: belongs to another run ({'; '.join(named)}{more}); "
            "resume with what it was made with, or start again with --overwrite"
        )

    def append(self, frame: FramePoses, private: Mapping[str, Any] | None = None) -> None:
        """Add one record. See ``extend``."""
        self.extend([(frame, private or {})])

    def extend(self, records: Iterable[tuple[FramePoses, Mapping[str, Any]]]) -> None:
        """Add records in one write: afterwards all of them are in the file, whatever happens to this process.

        Raises:
            OutputError: the disk is full, the folder is gone, or a value has no JSON form. Earlier records stay.
        """
        text = []
        last = self.last_index
        for frame, private in records:
            if frame.index <= last:
                raise OutputError(f"{self.path}: frame {frame.index} comes after frame {last}")
            value = encode_record(frame, len(self.header.joints), exact=True)
            text.append(dumps(value | {"private": private}) + "\n")
            last = frame.index
        if not text:
            return
        if not same_file(self._descriptor, os.fspath(self.path)):
            raise OutputError(f"{self.path}: was removed while the run was writing it; run again")
        self._write("".join(text))
        self.records += len(text)
        self.last_index = last

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("ascii"))
        done = 0
        with writing(self.path):
            try:
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
                while done < len(data):
                    done += os.write(self._descriptor, data[done:])
            except BaseException:  # an interrupt as well must not leave half a line behind
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._end)
                raise
        self._end += done

    def _cut(self, end: int) -> None:
        with writing(self.path):
            os.ftruncate(self._descriptor, end)
        self._end = end

    def stored(self) -> Iterator[PartRecord]:
        """The records in the file at this moment, one at a time; records may be added meanwhile.

        Raises:
            InputError: the file was damaged meanwhile.
        """
        for record, _ in self._walk():
            yield record

    def _walk(self) -> Iterator[tuple[PartRecord, int]]:
        """Records with the offset at which each ends."""
        count, end = self.records, self._body
        try:
            handle = open(self.path, "rb")  # noqa: SIM115 (closed below, also when the caller stops early)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from error
        with handle:
            handle.seek(self._body)
            lines = Lines(handle, os.fspath(self.path), 1)
            after = -1
            for _ in range(count):
                line = lines.next()
                if line is None:
                    raise InputError(f"{self.path}: was cut while the run was reading it")
                record = _decode(lines, line, self.header, after)
                after = record.frame.index
                end += len(line)
                yield record, end

    def truncate_to(self, records: int) -> None:
        """Keep the first ``records`` records and remove the others from the file."""
        if not 0 <= records <= self.records:
            raise ValueError(f"{records} is not between 0 and {self.records}")
        end, last = self._body, -1
        for number, (record, offset) in enumerate(self._walk()):
            if number == records:
                break
            end, last = offset, record.frame.index
        self._cut(end)
        self.records, self.last_index = records, last

    def discard(self) -> None:
        """Delete the part file. Does nothing once it is closed."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if os.name != "nt":  # while locked, so that it cannot be another run's
                self.path.unlink()
            self.close()
            if os.name == "nt":
                self.path.unlink()

    def close(self) -> None:
        """Close the file and keep it. Does nothing when repeated."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.records:
            self.close()
        else:
            self.discard()


_NONE = object()


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one level, keys joined by dots."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            result |= _flat(item, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = item
    return result


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "absent"
    text = json.dumps(values[key])
    return text if len(text) <= 80 else text[:76] + "..."
