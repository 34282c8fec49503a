"""The files of the package that a task may import, in the interpreter of the user's environment."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "hpcsweep"
# What of the ground is for hpcsweep's own interpreter alone.
OWN = {
    "__main__",
    "chaos",
    "html_table",
    "notify",
    "opening",
    "optimizing",
    "optuna",
    "progress",
    "settings",
    "several_sweeps",
}
WINGS = ("cache/files", "conditions", "logbook", "sources", "sweepdir", "worker")
FURTHER = ("manifest/frozen.py", "manifest/policies.py", "submission/check.py")
# Of an executor, what its tasks import.
CALLS = ("executor/pickles.py", "executor/task.py")

TASK_FILES = sorted(
    [
        *(path for path in PACKAGE.glob("*.py") if path.stem not in OWN),
        *(path for wing in WINGS for path in (PACKAGE / wing).rglob("*.py")),
        *(PACKAGE / name for name in (*FURTHER, *CALLS)),
    ]
)
