"""Stepped metrics: a table beside the metrics of a run, with one row per report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import json_value
from hpcsweep.logbook.libraries import csv_line

if TYPE_CHECKING:
    from hpcsweep.logbook.run_writer import RunWriter

STEPS = "artifacts/metrics_steps.csv"
_HEAD = b"name,step,value\n"


class MetricSteps:
    """The stepped metrics of one Logbook."""

    def __init__(self) -> None:
        # Whether the table has its header.
        self._begun = False
        # Metrics that had a non-finite value, warned about once.
        self._lost: set[str] = set()

    def add(self, log: RunWriter, name: str, step: float, value: Any) -> None:
        """Append a row. *Raises* InputError if the value is not a scalar."""
        lost: dict[str, str] = {}
        plain = json_value(value, name, lost), json_value(step, "step")
        if any(isinstance(item, (dict, list)) for item in plain):
            raise InputError(f"metric {name!r} at step {step!r} is not a scalar: {value!r:.80}")
        words = [json.dumps(item) if isinstance(item, bool) else item for item in plain]
        row = csv_line([name, words[1], words[0]]).encode()
        log.storage.append(STEPS, row, head=b"" if self._begun else _HEAD)
        self._begun = True
        if lost and name not in self._lost:  # warn once: a diverged metric stays so
            self._lost.add(name)
            log.note(f"{name} is {lost[name]} at step {step}, written as null", "WARNING")
