"""The reasons of pending array tasks in the queue: which are temporary, what others mean.

Slurm's own words; a scheduler that has sentences puts a word before them: `NotRunning: Insufficient
amount of resource`.
"""

from __future__ import annotations

import re

# No reason: the scheduler has not tried the task yet, or shows none.
NONE = frozenset({"", "None", "(null)"})

# Temporary reasons, which need no action. The names are those of job_state_reason.c and of
# job_reason_string() before it, Slurm 20.11 to 26.05.
_PASSING = {
    "BeginTime": "it may not start before its time, as after a requeue",
    "BurstBufferResources": "the burst buffer has no room",
    "BurstBufferStageIn": "its data are copied into the burst buffer",
    "Cleaning": "its last run is cleaned up",
    "Constraints": "no free node has the features that it asks for",
    "Dependency": "jobs that it depends on have not ended",
    "FedJobLock": "the clusters of the federation agree on who starts it",
    "JobArrayTaskLimit": "as many tasks of its array run as its throttle allows",
    "Licenses": "the licenses that it asks for are in use",
    "MaxPoweredUpNodes": "no more nodes may be powered up",
    "MpiPortsBusy": "the ports for MPI are in use",
    # Of PBS: what follows says why.
    "NotRunning": "it starts when that is over",
    "NvidiaImexChannels": "the IMEX channels are in use",
    "PowerNotAvail": "there is not enough power for it now",
    "PowerReserved": "the power that it needs is reserved",
    "Priority": "jobs with a higher priority come first",
    "Prolog": "a prolog prepares its nodes",
    "Resources": "what it asks for is in use",
    "SchedDefer": "the scheduler tries it in its next turn",
}
_NOT_TRIED = "the scheduler has not tried it yet"

_HELD = "it stays so until `scontrol release JOB`"
_SITE = "until the site fixes it"
_OPTIONS = "as it was submitted it will never start"
_FAILED = "a start of it failed, and the queue may hold it"
_NAMED = {
    "AccountNotAllowed": f"the partition does not take this account: {_OPTIONS}",
    "AccountingPolicy": f"a limit of the site: {_OPTIONS}",
    "BadConstraints": f"no node has what `constraint` asks for: {_OPTIONS}",
    "BlockFreeAction": _SITE,
    "BlockMaxError": _SITE,
    "BurstBufferOperation": _FAILED,
    "CanNeverRun": f"no node of PBS has that: {_OPTIONS}",
    "DeadLine": f"it cannot end before its deadline: {_OPTIONS}",
    "DependencyNeverSatisfied": f"what it depends on did not end as it should: {_OPTIONS}",
    "FrontEndDown": _SITE,
    "InactiveLimit": _FAILED,
    "InvalidAccount": f"there is no such account: {_OPTIONS}",
    "InvalidQOS": f"there is no such qos: {_OPTIONS}",
    "JobHeldAdmin": "held by an administrator: ask the site",
    "JobHeldUser": f"held by you, or by `hold` in `slurm:`: {_HELD}",
    "JobHoldMaxRequeue": f"held, since it was requeued too often: {_HELD}",
    "JobLaunchFailure": _FAILED,
    "MaxMemPerLimit": f"it asks for more memory than the partition allows: {_OPTIONS}",
    "NodeDown": f"a node that it needs is down {_SITE}",
    "NonZeroExitCode": _FAILED,
    "OutOfMemory": _FAILED,
    "PartitionConfig": f"the partition has not so many nodes or CPUs: {_OPTIONS}",
    "PartitionDown": f"the partition starts nothing {_SITE}",
    "PartitionInactive": f"the partition is closed {_SITE}",
    "PartitionNodeLimit": f"it asks for more or fewer nodes than the partition allows: {_OPTIONS}",
    "PartitionTimeLimit": f"its `time` is above the partition's limit: {_OPTIONS}",
    "QOSNotAllowed": f"the partition or account does not take this qos: {_OPTIONS}",
    "RaisedSignal": _FAILED,
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved: until they are back",
    "Reservation": "it waits for its reservation to begin, or for room in it",
    "ReservationDeleted": f"its reservation was removed: {_OPTIONS}",
    "ReservationInvalid": f"there is no such reservation: {_OPTIONS}",
    "SystemFailure": _FAILED,
    "SystemHold": "held by an operator of PBS: ask the site",
    "TimeLimit": _FAILED,
    "UserHold": "held by you: it stays so until `qrls JOB`",
    # state_desc of `scontrol requeuehold` (22.05), and of a job that a node refused to start, as a
    # node does that was cut off and still runs it (26.05).
    "job requeued in held state": f"requeued and held: {_HELD}",
    "launch failed requeued held": f"held, since a node refused to start it: {_HELD}",
}

_HOLDS = frozenset(
    {
        "JobHeldAdmin",
        "JobHeldUser",
        "JobHoldMaxRequeue",
        "SystemHold",
        "UserHold",
        "job requeued in held state",
        "launch failed requeued held",
    }
)

_LIMIT = "a limit is reached until other jobs have ended; never, if a task alone asks for more"
# Limits by association, account, user and QOS; the first pattern that matches counts.
_FAMILIES = (
    (re.compile(r"(?:Assoc|QOS|)(?:Grp|Max)\w*RunMin(?:ute)?s\w*"), _LIMIT),
    (
        re.compile(r"(?:Assoc|QOS)Grp\w*(?:Minutes|Wall)(?:Limit)?"),
        "the hours of the account or qos are used up: ask the site, or name another",
    ),
    (
        re.compile(r"(?:Assoc|QOS)Max\w*(?:PerJob|PerNode)(?:Limit)?"),
        f"a task asks for more than this limit: {_OPTIONS}",
    ),
    (re.compile(r"QOSMin\w+"), f"a task asks for less than this qos is for: {_OPTIONS}"),
    (re.compile(r"(?:Assoc|QOS|)(?:Grp|Max)\w+|(?:Association|QOS)\w*(?:Limit|Threshold)"), _LIMIT),
)


def passes(reason: str) -> bool:
    """Whether a task with this reason, or without one, will start by itself."""
    return reason in NONE or _word(reason) in _PASSING


def passing_meaning(reason: str) -> str:
    """What a task waits for that will start by itself; empty for one that will not."""
    return _NOT_TRIED if reason in NONE else _PASSING.get(_word(reason), "")


def is_hold(reason: str) -> bool:
    """Whether a task with this reason starts only after a release."""
    return reason in _HOLDS


def meaning(reason: str) -> str:
    """What keeps a task from starting that will not start by itself; empty if unknown.

    squeue adds details to some reasons: `ReqNodeNotAvail, UnavailableNodes:n4`, and the signal to
    `RaisedSignal:9(Killed)` (24.11).
    """
    word = _word(reason)
    if passes(word):
        return ""
    description = _NAMED.get(reason) or _NAMED.get(word)
    return description or next((text for family, text in _FAMILIES if family.fullmatch(word)), "")


def _word(reason: str) -> str:
    """A reason without its details."""
    return re.split("[,:]", reason, maxsplit=1)[0].strip()
