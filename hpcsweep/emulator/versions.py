"""The versions of Slurm that an emulated cluster speaks.

Where they differ the code asks `since`; docs/reference/slurm-versions.md lists all of it, and the
answers of real ones are in tests/data/slurm-contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmVersion:
    """One of VERSIONS."""

    name: str
    # As --version shows it.
    release: str

    def since(self, name: str) -> bool:
        """Whether it is that version or a newer one."""
        return self.name >= name

    def stepd_line(self, node: str, text: str) -> bytes:
        """A line as slurmstepd writes it to the standard error of a job."""
        who = f"slurmstepd-{node}:"
        if self.since("26.05"):
            now = datetime.now().isoformat(timespec="milliseconds")  # noqa: DTZ005  # local time
            who = f"[{now}]"
        return f"{who} error: {text}\n".encode(errors="surrogateescape")


VERSIONS = {
    release[:5]: SlurmVersion(name=release[:5], release=release)
    for release in ("22.05.8", "24.11.5", "26.05.5")
}
DEFAULT = "22.05"
