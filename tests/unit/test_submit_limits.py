"""Limits on a user's jobs in the queue, as sacctmgr of Slurm 22.05 prints them."""

from __future__ import annotations

import pytest

from hpcsweep.cluster.slurm.job_limits import (
    LIMITS_ENFORCED,
    Association,
    JobLimits,
    associations,
    ceilings,
    enforced,
    levels,
    qos_by_name,
)
from hpcsweep.cluster.slurm.submit_limits import QueuedTask, SubmitLimit, queued, tightest

QOS = qos_by_name(
    "normal|||||||||\nqlim||5|||||||\nqgrp|||4||||||\nqover|OverPartQOS|7|||||||\nqwall|||||||||\n"
)


@pytest.mark.parametrize(
    ("printed", "is_enforced"),
    [
        ("none", False),
        ("associations", False),
        ("associations,limits", True),
        ("associations,limits,qos,safe", True),
        ("safe", True),
        ("all", True),
    ],
)
def test_whether_a_cluster_enforces_limits(printed: str, is_enforced: bool) -> None:
    words = enforced({"AccountingStorageEnforce": printed})
    assert bool(words & LIMITS_ENFORCED) is is_enforced
    assert not enforced({}) & LIMITS_ENFORCED


def association(
    account: str, partition: str, qos: str, most: int | None, group: int | None
) -> Association:
    """An association with limits on jobs in the queue."""
    counts = {"MaxSubmitJobs": most, "GrpSubmitJobs": group}
    limits = JobLimits(counts={name: count for name, count in counts.items() if count is not None})
    return Association(account, partition, (qos,), qos, limits)


def test_what_is_printed() -> None:
    first, second = associations("acc1||normal,qdeny,qlim|||||||\nacc2|gpu|a,b|b|3|9||||\n\n")
    assert first == association("acc1", "", "normal", None, None)._replace(
        qos=("normal", "qdeny", "qlim")
    )
    assert second == association("acc2", "gpu", "b", 3, 9)._replace(qos=("a", "b"))
    assert QOS["qlim"].limits.counts == {"MaxSubmitJobsPerUser": 5}
    assert QOS["qgrp"].limits.counts == {"GrpSubmitJobs": 4}
    assert queued("acc1|normal|main\nacc1|qlim|main,short\n") == [
        QueuedTask("acc1", "normal", "main"),
        QueuedTask("acc1", "qlim", "main,short"),
    ]


# As `sacctmgr show assoc where user=` prints account, parent, GrpSubmit, GrpJobs and GrpTRES.
ACCOUNTS = "root||||\ninst|root|6||cpu=96\ngroup|inst||4|cpu=48\nacc1|group|||\nacc2|group|||\n"
INHERITS = "acc1||normal|normal|9||2||cpu=64|\n"  # MaxSubmit and MaxTRES are those of inst


def test_the_limits_on_groups_of_all_accounts_above() -> None:
    (mine,) = associations(INHERITS, ACCOUNTS)
    assert [level.named("GrpJobs") for level in mine.of_accounts] == [
        "GrpJobs of the account group",
        "GrpJobs of the account inst",
    ]
    # The jobs of the whole subtree count against a limit of an account.
    limit = tightest([mine], {}, THERE, {}, {})
    assert limit == SubmitLimit(name="GrpSubmitJobs of the account inst", most=6, jobs=5)
    # A QOS with a limit of the same kind counts in place of all of them.
    replaced = tightest([mine], QOS, THERE, {"qos": "qgrp"}, {})
    assert replaced == SubmitLimit(name="GrpSubmitJobs of the QOS qgrp", most=4, jobs=0)
    found = {one.name: one.most for one in ceilings(levels(mine, {}, {}))}
    assert found == {
        "MaxTRESPerJob of the association": 64,
        "GrpTRES of the account group": 48,
        "GrpJobs of the account group": 4,
        "GrpTRES of the account inst": 96,
        "MaxJobs of the association": 2,
    }


@pytest.mark.parametrize("printed", ["", "acc1|acc2|3||\nacc2|acc1|||\n", "acc1|gone|3||\n"])
def test_accounts_that_cannot_be_read_or_go_round_in_a_circle(printed: str) -> None:
    (mine,) = associations(INHERITS, printed)
    assert [level.account for level in mine.of_accounts] == ["acc1"] * bool(printed)


THERE = [QueuedTask("acc1", "normal", "main")] * 3 + [QueuedTask("acc2", "qlim", "short,main")] * 2


@pytest.mark.parametrize(
    ("mine", "options", "partition_qos", "expected"),
    [
        ([("acc1", "", "normal", None, None)], {}, {}, None),
        ([("acc1", "", "normal", 8, None)], {}, {}, ("MaxSubmitJobs of the association", 8, 3)),
        ([("acc1", "", "normal", 8, 6)], {}, {}, ("GrpSubmitJobs of the association", 6, 3)),
        # The limit of the QOS counts in place of the association's, whichever is lower.
        ([("acc1", "", "qlim", 8, None)], {}, {}, ("MaxSubmitJobsPerUser of the QOS qlim", 5, 2)),
        ([("acc1", "", "qlim", 2, None)], {}, {}, ("MaxSubmitJobsPerUser of the QOS qlim", 5, 2)),
        (
            [("acc1", "", "normal", 80, None)],
            {"qos": "qgrp"},
            {},
            ("GrpSubmitJobs of the QOS qgrp", 4, 0),
        ),
        # The QOS of the partition counts before that of the job, and all jobs in the partition.
        (
            [("acc1", "", "normal", 80, None)],
            {"partition": "main"},
            {"main": "qlim", "short": ""},
            ("MaxSubmitJobsPerUser of the QOS qlim", 5, 5),
        ),
        (
            [("acc1", "", "qover", 80, None)],
            {"partition": "main"},
            {"main": "qlim", "short": ""},
            ("MaxSubmitJobsPerUser of the QOS qover", 7, 0),
        ),
        ([("acc1", "", "normal", None, None)], {"partition": "long"}, {"main": "qlim"}, None),
        # An association of another account or partition says nothing.
        (
            [("acc1", "", "normal", 8, None), ("acc2", "", "normal", 1, None)],
            {"account": "acc1"},
            {},
            ("MaxSubmitJobs of the association", 8, 3),
        ),
        ([("acc1", "gpu", "normal", 1, None)], {"partition": "cpu"}, {}, None),
    ],
)
def test_the_limit_with_the_least_room(
    mine: list[tuple[str, str, str, int | None, int | None]],
    options: dict[str, str],
    partition_qos: dict[str, str],
    expected: tuple[str, int, int] | None,
) -> None:
    found = tightest([association(*one) for one in mine], QOS, THERE, options, partition_qos)
    wanted = None
    if expected is not None:
        name, most, jobs = expected
        wanted = SubmitLimit(name=name, most=most, jobs=jobs)
    assert found == wanted
