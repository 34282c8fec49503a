"""Sentences about outdated results, for `remarks` and for tables, which need no summary."""

from __future__ import annotations

from hpcsweep.state.changed_inputs import InputCounts
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.sweepdir.locate import argument_for

# The remedy of outdated results.
RERUN_STALE = "`hpcsweep submit --rerun stale` with the manifest computes them again"


def other_code(code: CodeCounts, name: str, mark: str = "") -> str:
    """A line about results that were computed with other code; `mark` is theirs in a table."""
    return f"{code.text(name)}{_marked(mark)}: {code.digests}. {RERUN_STALE}"


def changed_inputs(inputs: InputCounts, name: str, path: str, mark: str = "") -> str:
    """A line about results whose inputs have changed; `mark` is theirs in a table."""
    if inputs.unseen:
        return f"{inputs.text(name)}: {check_command(name, path)} does"
    return f"{inputs.text(name)}{_marked(mark)}. {RERUN_STALE}"


def check_command(name: str, path: str) -> str:
    """The command that looks whether inputs have changed, whatever the count of cases."""
    return f"`hpcsweep status {argument_for(name, path)} --check`"


def _marked(mark: str) -> str:
    return f" (marked {mark})" if mark else ""
