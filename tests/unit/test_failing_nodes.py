"""Which nodes a sweep excludes, for how long, and what its arrays ask for then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import Damaged
from hpcsweep.records import Resources
from hpcsweep.sources import grid
from hpcsweep.state.failing_nodes import (
    Suspect,
    excluded_line,
    failing,
    is_of_node,
    nodes_to_exclude,
    site_note,
    without_nodes,
)
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir import nodes
from tests.support.sweeps import MadeSweep


@pytest.mark.parametrize(
    ("reason", "error", "expected"),
    [
        ("node_fail", None, True),
        ("setup", {"message": "the setup line at m.yaml:4 ended with exit code 1"}, True),
        ("error", {"type": "OSError", "message": "[Errno 5] Input/output error: 'x'"}, True),
        ("error", {"message": "[Errno 116] Stale file handle"}, True),
        ("error", {"message": "[Errno 28] No space left on device: '/tmp/x'"}, True),
        ("error", {"type": "RuntimeError", "message": "CUDA error: uncorrectable ECC"}, True),
        ("exit_code", {"message": "exit code 1", "stderr": "NVRM: Xid (PCI:0000): 79"}, True),
        ("signal", {"message": "SIGABRT", "stderr": "hipErrorNoDevice"}, True),
        ("error", {"type": "ValueError", "message": "no input"}, False),
        ("error", {"message": "x", "traceback": "Input/output error"}, False),
        ("exit_code", None, False),
        # These have remedies of their own.
        ("out_of_memory", {"message": "CUDA error: out of memory"}, False),
        ("timeout", {"message": "Stale file handle"}, False),
        ("quota", {"message": "No space left on device"}, False),
        (None, None, False),
    ],
)
def test_reasons_of_a_node(reason: str, error: dict[str, str] | None, expected: bool) -> None:
    assert is_of_node(reason, error) is expected


def suspect(node: str, cases: int, since: int = 0) -> Suspect:
    return Suspect(
        node=node,
        cases=tuple(range(cases)),
        messages=("node_fail",),
        first="2026-11-29T10:00:00.000+00:00",
        last="2026-11-29T11:00:00.000+00:00",
        complete_since=since,
    )


@pytest.mark.parametrize(
    ("suspects", "well", "seen", "excluded", "expected"),
    [
        ([suspect("n1", 2)], {"n2"}, 2, 0, ["n1"]),
        ([suspect("n1", 1)], {"n2"}, 2, 0, []),  # one case may be the case
        ([suspect("n1", 2)], {"n1"}, 2, 0, []),  # nobody else does well
        ([suspect("n1", 2)], set(), 2, 0, []),
        ([suspect("n1", 2)], {"n2"}, 1, 0, []),
        ([suspect("n1", 2, since=2)], {"n1", "n2"}, 2, 0, []),  # it does well again
        ([suspect("n1", 3, since=2)], {"n1", "n2"}, 2, 0, ["n1"]),
        ([suspect("n1", 2), suspect("n2", 2)], {"n1", "n2"}, 2, 0, []),  # all of them
        # The worst first, a quarter of the nodes at most, one in any case.
        ([suspect("n1", 2), suspect("n2", 3)], {"n3"}, 3, 0, ["n2"]),
        ([suspect("n1", 2), suspect("n2", 3)], {"n3"}, 7, 0, ["n2"]),
        ([suspect("n1", 2), suspect("n2", 3)], {"n3"}, 8, 0, ["n2", "n1"]),
        ([suspect("n1", 2), suspect("n2", 3)], {"n3"}, 8, 1, ["n2"]),
        ([suspect("n1", 2)], {"n3"}, 7, 1, []),
    ],
)
def test_which_nodes_are_left_out(
    suspects: list[Suspect], well: set[str], seen: int, *, excluded: int, expected: list[str]
) -> None:
    assert [one.node for one in failing(suspects, well, seen, excluded)] == expected


FACT = suspect("n3", 2).fact


@pytest.mark.parametrize(
    ("options", "own", "expected"),
    [
        ({"mem": "1G"}, "", {"mem": "1G", "exclude": "n3"}),
        ({"exclude": "n[7-9],n1"}, "n[7-9],n1", {"exclude": "n[7-9],n1,n3"}),
        ({"exclude": "n1,n3"}, "n1,n3", {"exclude": "n1,n3"}),
        # An earlier attempt excluded a node that is used again.
        ({"exclude": "n1,n5"}, "n1", {"exclude": "n1,n3"}),
        # A user's own `nodelist` stays as it is.
        ({"nodelist": "n3"}, "", {"nodelist": "n3"}),
    ],
)
def test_the_option_is_joined_with_the_users_own(
    options: dict[str, str], own: str, expected: dict[str, str]
) -> None:
    assert without_nodes(Resources(options=options), [FACT], own).options == expected
    usual = {**options, "exclude": own} if own else options
    assert without_nodes(Resources(options=options), [], own).options == usual


PYTHON = """
import os
def run(x):
    if os.environ["SLURMD_NODENAME"] == "n1" and x != 0:
        raise OSError(5, "Input/output error", "/data")
"""


def made(root: Path) -> MadeSweep:
    """A sweep of which n1 completes one case and then fails three, n2 and n3 complete theirs."""
    sweep = MadeSweep(root, grid(x=list(range(8))), python=PYTHON)
    sweep.plan(chunk_size=4)
    sweep.run(0, SLURMD_NODENAME="n1")
    sweep.run(1, SLURMD_NODENAME="n2")
    return sweep


def test_from_the_journals_to_the_note(tmp_path: Path) -> None:
    sweep = made(tmp_path)
    with fresh_index(sweep.directory) as sweep_index:
        (found,) = nodes_to_exclude(sweep_index, [])
        assert (found.node, found.cases, found.complete_since) == ("n1", (1, 2, 3), 0)
        nodes.exclude(sweep.path, found.fact)
        nodes.exclude(sweep.path, found.fact)  # another `advance` found it as well
        assert nodes_to_exclude(sweep_index, nodes.node_facts(sweep.path)) == []
    (fact,) = nodes.node_facts(sweep.path)
    assert excluded_line(fact).startswith(
        "node n1 is excluded until your next submit: 3 cases failed there, OSError: [Errno 5] "
        "Input/output error: '/data' ("
    )
    assert site_note(fact).startswith("node n1: 3 cases failed there from 20")
    assert "(indices 1, 2, 3):\n  OSError: [Errno 5]" in site_note(fact)
    nodes.forget(sweep.path)
    assert nodes.node_facts(sweep.path) == []


def test_a_damaged_fact_is_told(tmp_path: Path) -> None:
    fact: dict[str, Any] = dict(FACT) | {"cases": "many"}
    place = tmp_path / "nodes"
    place.mkdir()
    (place / "n3.json").write_text(str(fact).replace("'", '"'))
    with pytest.raises(Damaged, match="is damaged"):
        nodes.node_facts(tmp_path)
