"""All job states of Slurm, and the meaning of each for an array task (DESIGN invariant 11)."""

from __future__ import annotations

from enum import Enum

from hpcsweep.records import Reason, Status


class Life(Enum):
    """Whether an array task may still run."""

    # It is pending, running, completing, or will be requeued.
    ALIVE = "alive"
    # It has ended for good.
    OVER = "over"
    # The state is not in the table: draw no conclusion.
    UNKNOWN = "unknown"


# Every base state and flag of slurm.h (22.05 to 26.05). What a task that is over left undone is
# `lost` unless the state says why. REQUEUED ends one start, not the task.
TABLE: dict[str, tuple[Life, Status, Reason | None]] = {
    "PENDING": (Life.ALIVE, Status.PENDING, None),
    "CONFIGURING": (Life.ALIVE, Status.PENDING, None),
    "REQUEUED": (Life.ALIVE, Status.PENDING, None),
    "REQUEUE_FED": (Life.ALIVE, Status.PENDING, None),
    "REQUEUE_HOLD": (Life.ALIVE, Status.PENDING, None),
    "RESV_DEL_HOLD": (Life.ALIVE, Status.PENDING, None),
    "SPECIAL_EXIT": (Life.ALIVE, Status.PENDING, None),
    "POWER_UP_NODE": (Life.ALIVE, Status.PENDING, None),
    # `--requeue=expedite`, from the end of one start to the next (25.11 and newer).
    "EXPEDITING": (Life.ALIVE, Status.PENDING, None),
    "RUNNING": (Life.ALIVE, Status.RUNNING, None),
    "COMPLETING": (Life.ALIVE, Status.RUNNING, None),
    "RESIZING": (Life.ALIVE, Status.RUNNING, None),
    "SIGNALING": (Life.ALIVE, Status.RUNNING, None),
    "STAGE_OUT": (Life.ALIVE, Status.RUNNING, None),
    "STOPPED": (Life.ALIVE, Status.RUNNING, None),
    "SUSPENDED": (Life.ALIVE, Status.RUNNING, None),
    "UPDATE_DB": (Life.ALIVE, Status.RUNNING, None),
    "COMPLETED": (Life.OVER, Status.INTERRUPTED, Reason.LOST),
    "FAILED": (Life.OVER, Status.INTERRUPTED, Reason.LOST),
    "LAUNCH_FAILED": (Life.OVER, Status.INTERRUPTED, Reason.LOST),
    "RECONFIG_FAIL": (Life.OVER, Status.INTERRUPTED, Reason.LOST),
    "REVOKED": (Life.OVER, Status.INTERRUPTED, Reason.LOST),
    "CANCELLED": (Life.OVER, Status.INTERRUPTED, Reason.CANCELLED),
    "TIMEOUT": (Life.OVER, Status.INTERRUPTED, Reason.TIMEOUT),
    "DEADLINE": (Life.OVER, Status.INTERRUPTED, Reason.TIMEOUT),
    "PREEMPTED": (Life.OVER, Status.INTERRUPTED, Reason.PREEMPTED),
    "NODE_FAIL": (Life.OVER, Status.INTERRUPTED, Reason.NODE_FAIL),
    "BOOT_FAIL": (Life.OVER, Status.INTERRUPTED, Reason.NODE_FAIL),
    "OUT_OF_MEMORY": (Life.OVER, Status.FAILED, Reason.OUT_OF_MEMORY),
}

UNKNOWN = (Life.UNKNOWN, Status.UNKNOWN, None)


def meaning(state: str) -> tuple[Life, Status, Reason | None]:
    """The meaning of a state as squeue or sacct prints it.

    sacct prints "CANCELLED by 1000", and in a narrow column "CANCELLED+". Only the former occurs
    here, because every query has `--parsable2`.
    """
    words = state.split()
    return TABLE.get(words[0], UNKNOWN) if words else UNKNOWN
