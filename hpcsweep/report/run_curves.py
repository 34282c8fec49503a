"""How many cases ran, and waited, over time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpcsweep.state.executions import Floats

# The steps of a curve; of one with more, that many moments at equal distances are kept.
STEPS_MAX = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A count that changes in steps: from each time on it has that value."""

    times: list[float]
    values: list[int]
    # The largest value, wherever it was.
    peak: int


def step_curve(starts: Floats, ends: Floats, steps: int = STEPS_MAX) -> Curve:
    """How many intervals are open at each time; `ends` are not before `starts`, and may be inf."""
    begins = np.sort(starts)
    stops = ends[np.isfinite(ends)]  # a copy
    stops.sort()
    if not len(begins):
        return Curve(times=[], values=[], peak=0)
    # It rises at begins alone.
    at_begins = _open_at(begins, begins, stops)
    peak, peak_time = int(at_begins.max()), begins[at_begins.argmax()]
    # Not of all at once: that would be 90 MB of a million cases.
    times, ends_at = np.unique(begins), np.unique(stops)
    if max(len(times), len(ends_at)) <= steps:
        times = np.union1d(times, ends_at)
    if max(len(times), len(ends_at)) > steps:
        last = max(times[-1], ends_at[-1]) if len(ends_at) else times[-1]
        # The moment of the peak stays.
        times = np.unique(np.append(np.linspace(times[0], last, steps - 1), peak_time))
    values = _open_at(times, begins, stops)
    changes = np.append(True, values[1:] != values[:-1])
    changes[-1] = True
    return Curve(times=times[changes].tolist(), values=values[changes].tolist(), peak=peak)


def _open_at(times: Floats, begins: Floats, stops: Floats) -> npt.NDArray[np.int64]:
    is_open: npt.NDArray[np.int64] = np.searchsorted(begins, times, side="right")
    is_open -= np.searchsorted(stops, times, side="right")
    return is_open
