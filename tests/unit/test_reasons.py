"""The queue's reasons: every one that Slurm has, and what is told of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcsweep.cluster.reasons import NONE, meaning, passes, passing_meaning

# Slurm 20.11 to 26.05: job_state_reason.c, and job_reason_string() before it.
NAMES = (Path(__file__).parents[1] / "data" / "slurm-reasons.txt").read_text().split()


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_passes_or_is_explained(name: str) -> None:
    assert passes(name) != bool(meaning(name))
    assert passes(name) == bool(passing_meaning(name))


def test_many_refusals_are_recorded() -> None:
    assert len(NAMES) > 200
    assert set(NAMES) & NONE == {"None"}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("JobHeldUser", "scontrol release"),
        ("JobHeldAdmin", "administrator"),
        ("PartitionTimeLimit", "`time` is above"),
        ("PartitionNodeLimit", "nodes"),
        ("DependencyNeverSatisfied", "never start"),
        ("BadConstraints", "constraint"),
        ("InvalidAccount", "account"),
        ("InvalidQOS", "qos"),
        ("ReqNodeNotAvail, UnavailableNodes:n4", "down, drained or reserved"),
        ("RaisedSignal:9(Killed)", "start of it failed"),
        ("Reservation", "reservation"),
        ("job requeued in held state", "held"),
        ("launch failed requeued held", "scontrol release"),
        ("AssocGrpCpuLimit", "until other jobs have ended"),
        ("QOSMaxJobsPerUserLimit", "until other jobs have ended"),
        ("QOSMaxCpuPerUserLimit", "until other jobs have ended"),
        ("QOSMaxWallDurationPerJobLimit", "never start"),
        ("AssocMaxCpuPerJobLimit", "never start"),
        ("AssocGrpCPUMinutesLimit", "used up"),
        ("QOSGrpCPURunMinutesLimit", "until other jobs have ended"),
        ("QOSMinGRES", "less than"),
    ],
)
def test_a_reason_that_does_not_pass_is_explained(reason: str, words: str) -> None:
    assert not passes(reason)
    assert words in meaning(reason)


OF_PBS = ("CanNeverRun", "NotRunning", "SystemHold", "UserHold")


def test_the_page_names_reasons_of_the_queue() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/pending.md"
    rows = re.findall(r"^\| (`.*?) \| .* \| (.*) \|$", page.read_text(), re.MULTILINE)
    named = {reason: advice for row, advice in rows for reason in re.findall(r"`(\w+)", row)}
    assert len(named) > 10
    assert set(named) <= {*NAMES, *OF_PBS}
    assert set(OF_PBS) <= set(named)
    for reason, advice in named.items():
        # What passes by itself, and a limit that others use up, is waited for.
        waits = passes(reason) or "until" in re.sub("until `(scontrol|qrls)", "", meaning(reason))
        assert waits == advice.startswith(("wait", "nothing")), reason


@pytest.mark.parametrize("reason", ["Teleporting", "held by the site, ask", "?"])
def test_an_unknown_reason_is_shown_as_it_is(reason: str) -> None:
    assert not passes(reason)
    assert meaning(reason) == ""
