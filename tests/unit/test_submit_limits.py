"""Limits on a user's jobs in the queue, as sacctmgr of Slurm 22.05 prints them."""

from __future__ import annotations

import pytest

from hpcsweep.cluster.slurm.submit_limits import (
    Association,
    QosLimits,
    QueuedTask,
    SubmitLimit,
    associations,
    enforces,
    qos_limits,
    queued,
    tightest,
)

QOS = "normal||\nqlim|5|\nqgrp||4\nqwall||\n"


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
    assert enforces({"AccountingStorageEnforce": printed}) is is_enforced
    assert not enforces({})


def test_what_is_printed() -> None:
    assert associations("acc1||normal,qdeny,qlim|||\nacc2|gpu|a,b|b|3|9\n\n") == [
        Association("acc1", "", "normal", None, None),
        Association("acc2", "gpu", "b", 3, 9),
    ]
    assert qos_limits(QOS)["qlim"] == QosLimits(5, None)
    assert qos_limits(QOS)["qgrp"] == QosLimits(None, 4)
    assert queued("acc1|normal\nacc1|qlim\n") == [
        QueuedTask("acc1", "normal"),
        QueuedTask("acc1", "qlim"),
    ]


THERE = [QueuedTask("acc1", "normal")] * 3 + [QueuedTask("acc2", "qlim")] * 2


@pytest.mark.parametrize(
    ("mine", "options", "partition_qos", "expected"),
    [
        ([("acc1", "", "normal", None, None)], {}, "", None),
        ([("acc1", "", "normal", 8, None)], {}, "", ("MaxSubmitJobs of the association", 8, 3)),
        ([("acc1", "", "normal", 8, 6)], {}, "", ("GrpSubmitJobs of the association", 6, 3)),
        ([("acc1", "", "qlim", 8, None)], {}, "", ("MaxSubmitJobsPerUser of the QOS qlim", 5, 2)),
        (
            [("acc1", "", "normal", 80, None)],
            {"qos": "qgrp"},
            "",
            ("GrpSubmitJobs of the QOS qgrp", 4, 0),
        ),
        # The QOS of the partition counts as well, and whatever is there may be in it.
        (
            [("acc1", "", "normal", 80, None)],
            {},
            "qlim",
            ("MaxSubmitJobsPerUser of the QOS qlim", 5, 5),
        ),
        # An association of another account or partition says nothing.
        (
            [("acc1", "", "normal", 8, None), ("acc2", "", "normal", 1, None)],
            {"account": "acc1"},
            "",
            ("MaxSubmitJobs of the association", 8, 3),
        ),
        ([("acc1", "gpu", "normal", 1, None)], {"partition": "cpu"}, "", None),
    ],
)
def test_the_limit_with_the_least_room(
    mine: list[tuple[str, str, str, int | None, int | None]],
    options: dict[str, str],
    partition_qos: str,
    expected: tuple[str, int, int] | None,
) -> None:
    found = tightest(
        [Association(*one) for one in mine], qos_limits(QOS), THERE, options, partition_qos
    )
    wanted = None
    if expected is not None:
        name, most, there = expected
        wanted = SubmitLimit(name=name, most=most, there=there)
    assert found == wanted
