"""A text file that an instrument is writing: what it says so far, read as it grows.

Only whole lines count: the last one waits for its line end. Each addition is read below the file's own first lines, so
that headers, units and decimal conventions stay those of the start. A file that is put in the place of another (log
rotation, an export that is written anew) continues it, if its samples come later or are the same.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hmm_plating.did_you_mean import no_such_file
from hmm_plating.errors import InputError
from hmm_plating.recording.formats import Contents, Hints, read_contents, read_data
from hmm_plating.recording.samples import continued, lengths_of, part_of, require_same, series_of

TEXT_START = 64  # bytes by which a text is told from a binary file
BINARY = (b"\xff\xfe", b"\xfe\xff")  # UTF-16, whose lines do not end with one byte
FIRST_LINES = 50  # of samples, at least, below which additions are read
COMPARED = 4096  # bytes before the end, by which a file that was written anew is noticed
JUMP = 10.0  # sampling intervals without a sample that are worth saying
PAUSE = 10.0  # s
READ_WHOLE = "Gamry"  # formats whose later lines need more of the file than its start: read as a whole each time


class GrowingText:
    """One file, opened where it is read first.

    Attributes:
        contents: what whole lines say so far; None as long as they say nothing.
        notes: what happened since this list was last emptied, for people.
    """

    def __init__(self, path: str | Path, hints: Hints, part: str) -> None:
        """`part` as of `read_contents`. Raises InputError where the file is no text."""
        self.path, self.hints, self.part = Path(path), hints, part
        self.contents: Contents | None = None
        self.notes: list[str] = []
        self._file: BinaryIO | None = None
        self._inode = 0
        self._rest, self._end = b"", b""  # the unfinished line; the last bytes that were read
        self._head, self._lines = b"", 0  # the first lines; how many were read
        self._first: Contents | None = None  # what the head says
        self._earlier: Contents | None = None  # of files that were in this one's place
        self._grown = time.monotonic()
        self._paused = False
        if not self.path.is_file():
            raise InputError(no_such_file(self.path))
        if not is_text(self.path):
            raise InputError(f"{self.path}: only text can be followed, in UTF-8 or Latin-1: filter the finished file")
        if hints.scan_rate is not None:
            raise InputError(f"{self.path}: a file without time cannot be followed (--scan-rate)")

    def read(self) -> bool:
        """Take in what was added; whether there are new samples.

        Raises:
            InputError: an added line cannot be read, time goes back, or another recording is in the file's place.
        """
        try:
            grown = self._take_in()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        now = time.monotonic()
        if grown:
            if self._paused:
                self.notes.append(f"{self.path.name}: samples again after {now - self._grown:.0f} s")
            self._grown, self._paused = now, False
        elif not self._paused and now - self._grown > PAUSE:
            self._paused = True
            self.notes.append(f"{self.path.name}: no new sample for {PAUSE:g} s; waiting")
        return grown

    def error(self) -> InputError | None:
        """Why whole lines say nothing yet; None where they do."""
        if self.contents is not None:
            return None
        if not self._head:
            return InputError(f"{self.path}: no whole line yet")
        try:
            read_data(self._head, self.path, self.hints, self.part)
        except InputError as error:
            return error
        return None

    def _take_in(self) -> bool:
        grown = self._add(self._bytes())
        if self._replaced():
            grown |= self._add(self._bytes())
        return grown

    def _bytes(self) -> bytes:
        if self._file is None:
            try:
                self._file = open(self.path, "rb")  # noqa: SIM115  # kept open: a rotated file is read to its end
            except FileNotFoundError:
                return b""  # between two files
            self._inode = os.fstat(self._file.fileno()).st_ino
        data = self._file.read()
        self._end = (self._end + data)[-COMPARED:]
        return data

    def _replaced(self) -> bool:
        """Whether another file, or other content, is in the place of the one that was read to its end."""
        if self._file is None:
            return False
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return False
        position = self._file.tell()
        same = status.st_ino == self._inode and status.st_size >= position
        if same:
            self._file.seek(position - len(self._end))
            same = self._file.read(len(self._end)) == self._end
            if same:
                self._file.seek(position)
                return False
        self._file.close()
        self._file, self._rest, self._end, self._head, self._first, self._lines = None, b"", b"", b"", None, 0
        self._earlier = self.contents
        self.notes.append(f"{self.path.name}: the file was replaced; its samples are taken to continue")
        return True

    def _add(self, data: bytes) -> bool:
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        added = whole + newline
        if not added:
            return False
        if self._first is None:
            self._head += added
            try:
                found = read_data(self._head, self.path, self.hints, self.part)
            except InputError:
                if self._lines:
                    raise
                return False  # no samples yet; `error` says why
            self._lines = self._head.count(b"\n")
            if max(lengths_of(found)) >= FIRST_LINES and not found.format.startswith(READ_WHOLE):
                self._head, self._first = self._start_of(found)
            before, self.contents = (
                self.contents,
                found if self._earlier is None else self._continued(self._earlier, found),
            )
            return before is None or lengths_of(before) != lengths_of(self.contents)
        try:
            found = read_data(self._head + added, self.path, self.hints, self.part)
        except InputError as error:
            raise InputError(f"{error} (lines counted without {self._lines} read before)") from error
        self._lines += added.count(b"\n")
        lengths = lengths_of(self._first)
        require_same(self.path.name, part_of(found, slice(0, lengths[0]), slice(0, lengths[1])), self._first)
        new = part_of(found, slice(lengths[0], None), slice(lengths[1], None))
        if max(lengths_of(new)) == 0:
            return False
        assert self.contents is not None
        for samples, known in zip(series_of(new), series_of(self.contents), strict=True):
            if samples and len(samples["time"]) and samples["time"][0] <= known["time"][-1]:
                raise InputError(
                    f"{self.path.name}: time goes back, from {known['time'][-1]:.10g} to {samples['time'][0]:.10g} s: "
                    "was a clock set, or another recording started? Follow what comes now as a new run"
                )
        self.contents = self._continued(self.contents, new)
        return True

    def _start_of(self, found: Contents) -> tuple[bytes, Contents]:
        """The first lines alone, as many as say the same of themselves as all lines do: a file may be long already."""
        lines = self._head.splitlines(keepends=True)
        count = 2 * FIRST_LINES
        while count < len(lines):
            head = b"".join(lines[:count])
            with suppress(InputError):
                first = read_data(head, self.path, self.hints, self.part)
                lengths = lengths_of(first)
                if max(lengths) >= FIRST_LINES:
                    require_same(self.path.name, part_of(found, slice(0, lengths[0]), slice(0, lengths[1])), first)
                    return head, first
            count *= 2
        return self._head, found

    def _continued(self, before: Contents, after: Contents) -> Contents:
        """The samples of both; a jump of time between them is noted."""
        joined = continued(self.path.name, before, after)
        for old, all_ in zip(series_of(before), series_of(joined), strict=True):
            if old and len(all_["time"]) > len(old["time"]):
                self._note_jump(old["time"], all_["time"][len(old["time"]) :])
        return joined

    def _note_jump(self, before: np.ndarray, new: np.ndarray) -> None:
        gap = float(new[0] - before[-1])
        usual = float(np.median(np.diff(before[-200:]))) if len(before) > 2 else gap
        if gap > JUMP * usual:
            self.notes.append(
                f"{self.path.name}: no sample from {before[-1]:.6g} to {new[0]:.6g} s (a pause, or a clock)"
            )


def is_text(path: str | Path) -> bool:
    """Whether a file can be followed, by its first bytes."""
    try:
        with open(path, "rb") as file:
            start = file.read(TEXT_START)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return not (start.startswith(BINARY) or b"\x00" in start)


class Finished:
    """A file that does not grow, in the place of one that does: a workbook or binary file of the potentiostat."""

    def __init__(self, path: str | Path, hints: Hints, part: str) -> None:
        self.contents, self.notes = (
            read_contents(path, hints, part),
            [f"{Path(path).name}: read once, for it is no text"],
        )

    def read(self) -> bool:
        return False

    def error(self) -> None:
        return None
