"""One run of another library: what its files or its row say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.records import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherRun:
    """One run, or one result."""

    run_id: str
    status: Status
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    # The experiment or table that it belongs to; None where a form has none.
    group: str | None = None
    # As they were written.
    started: str | None = None
    ended: str | None = None
    # The directory or the file of its results.
    path: str | None = None
    error: str | None = None

    def facts(self) -> dict[str, Any]:
        """The columns that are neither params nor metrics; those without a value are left out."""
        names = ("run_id", "group", "started", "ended", "path", "error")
        given = {name: getattr(self, name) for name in names}
        known = {name: value for name, value in given.items() if value is not None}
        return known | {"status": self.status.value}
