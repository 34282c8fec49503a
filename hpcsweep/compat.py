"""The names that Logbook had at first: `from hpcsweep.compat import Logbook, Experiment, …`.

Programs written for them run with only the import changed. New ones say `from hpcsweep import`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.logbook.experiment.writer import Experiment
from hpcsweep.logbook.logbook import Logbook as _Logbook
from hpcsweep.logbook.reader import LogReader

__all__ = ["Experiment", "ExperimentReader", "LogReader", "Logbook"]


class Seconds(float):
    """A number of seconds that may also be called, as `log.elapsed()` once was."""

    def __call__(self) -> float:
        """The number itself."""
        return float(self)


class Logbook(_Logbook):
    """A Logbook with `data/`, `plots/` and `artifacts/` made at once, and `elapsed()` a call."""

    def __init__(
        self,
        run_id: object,
        base_dir: str | os.PathLike[str] = "outputs",
        params: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        preallocate: bool = True,  # noqa: ARG002  # they were always made
    ) -> None:
        super().__init__(run_id, base_dir, params, overwrite, preallocate=True)

    @property
    def elapsed(self) -> Seconds:
        """Seconds since this Logbook was made."""
        return Seconds(super().elapsed)
