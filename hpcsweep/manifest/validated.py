"""What a check of a manifest found: count of cases, target, and what its source notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.sources import ParameterSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """A manifest without mistakes.

    Examples:
        >>> found = sweep.validate()
        >>> isinstance(found, hs.Validated), found.name
        (True, 'swing')
    """

    name: str
    # The name of this version in plans and journals.
    manifest: str
    # Count of cases with replicates.
    n_cases: int
    # The target, for people.
    target: str
    # What the columns of its tables are taken for, and what its conditions leave out.
    column_notes: tuple[str, ...] = ()
    filter_notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of `validate --json`.

        Examples:
            >>> sweep.validate().to_json()["cases"]
            3
        """
        return {
            "schema": "hpcsweep.validate/1",
            "name": self.name,
            "manifest": self.manifest,
            "cases": self.n_cases,
            "target": self.target,
            "columns": list(self.column_notes),
            "where": list(self.filter_notes),
        }


def validated(manifest: FrozenManifest, source: ParameterSource) -> Validated:
    """What `validate` says of a manifest and its source, with replicates."""
    return Validated(
        name=manifest.name,
        manifest=manifest.fingerprint,
        n_cases=source.n_cases,
        target=manifest.target.text,
        column_notes=tuple(source.column_notes()),
        filter_notes=tuple(source.filter_notes()),
    )
