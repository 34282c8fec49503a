"""How long the cases of a node took, known to the processes of all its chunks."""

from __future__ import annotations

import os
from array import array

from hpcsweep.worker.child import anonymous_file
from hpcsweep.worker.timelimit import TimeLeft


class SharedTimeLeft(TimeLeft):
    """A `TimeLeft` that counts the cases of all processes that were forked from its maker.

    So a chunk that begins late knows how long a case takes.
    """

    def __init__(self) -> None:
        super().__init__(None)
        # A number of seconds after the other; each process has read up to its own offset.
        self._file, self._offset = anonymous_file(), 0

    def note(self, seconds: float) -> None:
        """Note how long a case took, for all processes."""
        # One write(2) at the end of the file that all share, which no other can divide.
        os.write(self._file, array("d", [seconds]).tobytes())

    def suffices(self) -> bool:
        """See `TimeLeft`."""
        self.read()
        return super().suffices()

    def read(self) -> None:
        """Take over what was noted since the last call."""
        times = array("d")
        size = os.fstat(self._file).st_size - self._offset
        times.frombytes(os.pread(self._file, size - size % times.itemsize, self._offset))
        self._offset += len(times) * times.itemsize
        for seconds in times:
            super().note(seconds)
