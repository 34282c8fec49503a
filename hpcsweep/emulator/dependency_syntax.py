"""Parse --dependency: its kinds of conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpcsweep.errors import InputError

KINDS = ("after", "afterany", "afterok", "afternotok", "aftercorr")
PROBLEM = "Job dependency problem"
# Kinds of real Slurm that the programs refuse by name.
NOT_EMULATED = ("afterburstbuffer", "expand")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """One condition of a job."""

    kind: str
    # 0 for `singleton`.
    job: int = 0
    task: int | None = None


def parse(text: str) -> tuple[list[Dependency], bool]:
    """The conditions, and whether a single one is sufficient.

    *Raises* InputError with Slurm's message.
    """
    conditions: list[Dependency] = []
    for part in filter(None, re.split(r"[,?]", text)):
        kind, *ids = part.split(":")
        if kind == "singleton" and not ids:
            conditions.append(Dependency(kind=kind))
            continue
        if kind not in KINDS or not ids:
            raise InputError(PROBLEM, where=text)
        for text_of_id in ids:
            match = re.fullmatch(r"(\d+)(?:_(\d+|\*))?(?:\+\d+)?", text_of_id)
            if match is None:
                raise InputError(PROBLEM, where=text)
            task = int(match[2]) if match[2] and match[2] != "*" else None
            conditions.append(Dependency(kind=kind, job=int(match[1]), task=task))
    return conditions, "?" in text
