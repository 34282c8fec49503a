"""How the batch scripts of a cluster are written: which templates, and which directives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptForm:
    """The form of a cluster's batch scripts."""

    # The templates of an array and of a closing job.
    array: str
    closing: str
    # The directives of the manifest's options, each without its mark (`#SBATCH`). *Raises*
    # InputError for one that cannot be written.
    directives: Callable[[Mapping[str, str]], list[str]]


def _no_directives(_: Mapping[str, str]) -> list[str]:
    return []


# What any scheduler that starts bash can start.
PLAIN = ScriptForm(array="array.sbatch.j2", closing="closing.sbatch.j2", directives=_no_directives)
