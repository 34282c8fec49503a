"""Slurm's states: a table has all of them; any other word is `unknown`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.cluster.states import TABLE, Life, meaning
from hpcsweep.records import Reason, Status
from tests.support.contract import CASES, VERSIONS

# slurm.h, enum job_states, and the flags that job_state_string prints, 22.05 to 26.05.
BASE_STATES = [
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
]
FLAGS = [
    "LAUNCH_FAILED",
    "UPDATE_DB",
    "REQUEUED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
    "RESIZING",
    "CONFIGURING",
    "COMPLETING",
    "STOPPED",
    "RECONFIG_FAIL",
    "POWER_UP_NODE",
    "REVOKED",
    "REQUEUE_FED",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "STAGE_OUT",
    "EXPEDITING",
]


def named_by_squeue(version: str) -> list[str]:
    """The states that a real squeue lists when it is asked for one that does not exist."""
    text = (CASES / version / "control.txt").read_text()
    (line,) = [line for line in text.splitlines() if "Valid job states include" in line]
    return line.rpartition(": ")[2].upper().split(",")


@pytest.mark.parametrize("state", [*BASE_STATES, *FLAGS])
def test_every_state_has_a_meaning(state: str) -> None:
    assert meaning(state)[0] is not Life.UNKNOWN


@pytest.mark.parametrize("version", VERSIONS)
def test_every_state_that_squeue_names_has_a_meaning(version: str) -> None:
    states = named_by_squeue(version)
    assert len(states) >= 24
    assert {state for state in states if meaning(state)[0] is Life.UNKNOWN} == set()
    assert ("EXPEDITING" in states) == (version >= "26.05")


@pytest.mark.parametrize("state", TABLE)
def test_a_meaning_agrees_with_itself(state: str) -> None:
    life, status, reason = TABLE[state]
    if life is Life.ALIVE:
        assert (status in (Status.PENDING, Status.RUNNING), reason) == (True, None)
    else:
        assert life is Life.OVER
        assert reason is not None
        assert status is reason.status


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CANCELLED by 1000", Reason.CANCELLED),
        ("CANCELLED", Reason.CANCELLED),
        ("TIMEOUT", Reason.TIMEOUT),
        ("DEADLINE", Reason.TIMEOUT),
        ("NODE_FAIL", Reason.NODE_FAIL),
        ("BOOT_FAIL", Reason.NODE_FAIL),
        ("PREEMPTED", Reason.PREEMPTED),
        ("OUT_OF_MEMORY", Reason.OUT_OF_MEMORY),
        # The worker records the ends of its cases: the end of a task says nothing about them.
        ("COMPLETED", Reason.LOST),
        ("FAILED", Reason.LOST),
    ],
)
def test_reasons_of_final_states(text: str, reason: Reason) -> None:
    assert meaning(text) == (Life.OVER, reason.status, reason)


@pytest.mark.parametrize(
    "text", ["", " ", "completed", "CANCELLED+", "COMPLETE", "RUNNING|x", "N/A", "None", "1", "??"]
)
def test_an_unknown_state_proves_nothing(text: str) -> None:
    assert meaning(text) == (Life.UNKNOWN, Status.UNKNOWN, None)


@given(st.text())
def test_any_text_maps_to_a_state(text: str) -> None:
    life, status, _ = meaning(text)
    assert (life is Life.UNKNOWN) == (status is Status.UNKNOWN)
    if not any(text.split(maxsplit=1)[:1] == [state] for state in TABLE):
        assert life is Life.UNKNOWN
