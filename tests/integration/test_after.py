"""Stages: `submit --after OTHER`, and cases that are those of another sweep."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clusters import WAIT_S, RealCluster
from tests.support.emulated import Emulated
from tests.support.fixtures import MakeSlurm
from tests.support.small_site import GRACES, Site

A = """\
name: a
target: t.py:square
source: {grid: {x: [1, 2, 3]}}
"""
CLOSES = "stop_after: 100\n"
TARGET = """
import time
from pathlib import Path
HERE = Path(__file__).parent
def square(x):
    while not (HERE / "go").exists():
        time.sleep(0.05)
    return {"y": x * x}
def refine(y, mesh="coarse"):
    return {"z": y + 1}
def fails_at_3(x):
    assert square(x)["y"] != 9
    return {"y": x * x}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "t.py").write_text(TARGET)
    with Emulated(tmp_path / "cluster") as cluster:
        yield Site(root, cluster)


def write(site: Site, name: str, text: str) -> str:
    (site.root / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def rows(site: Site, name: str) -> list[dict[str, object]]:
    text = site.hpcsweep("collect", name, "--format", "jsonl")
    return [json.loads(line) for line in text.splitlines()]


def go(site: Site) -> None:
    (site.root / "go").touch()


def test_closing_jobs_send_one_stage_after_the_other(site: Site) -> None:
    site.hpcsweep("submit", write(site, "a", A + CLOSES))
    b = write(
        site,
        "b",
        'name: b\ntarget: t.py:refine\nsource: {sweep: a, where: "y > 1", columns: [y], '
        "fixed: {mesh: fine}}\n",
    )
    assert "the sweep a is not complete" in site.hpcsweep("submit", b, code=3)
    said = site.hpcsweep("submit", b, "--after", "a")
    assert "b: is sent when every case of a is complete" in said
    c = write(site, "c", "name: c\ncommand: [echo, '{k}']\nsource: {grid: {k: [1, 2]}}\n")
    whole = ("--set", "mode=node", "--throttle", "2")  # as without --after
    said = site.hpcsweep("submit", c, "--after", "b", *whole, code=3)
    assert "a throttle limits array tasks" in said
    said = site.hpcsweep("submit", c, "--after", "b")  # which was not sent itself
    assert "c: is sent when every case of b is complete" in said
    assert "then: b, when every case is complete" in site.hpcsweep("status", "a")
    assert not list((site.root / "outputs" / "b").glob("submissions/*"))
    go(site)
    site.wait_complete("c", 2)
    assert [(row["y"], row["mesh"], row["z"]) for row in rows(site, "b")] == [
        (4, "fine", 5),
        (9, "fine", 10),
    ]
    assert json.loads(site.hpcsweep("status", "a", "--json"))["followers"] == []
    # Later the manifest gives the same cases as when it was sent.
    assert "b: nothing to submit, 2 complete" in site.hpcsweep("submit", b)


def test_a_stage_on_what_is_complete_when_nothing_more_runs(site: Site) -> None:
    site.hpcsweep("submit", write(site, "a", A.replace("square", "fails_at_3") + CLOSES))
    source = "{sweep: a, when: settled, columns: [y]}"
    b = write(site, "b", f"name: b\ntarget: t.py:refine\nsource: {source}\n")
    assert "the sweep a is not settled" in site.hpcsweep("submit", b, code=3)
    c = write(site, "c", "name: c\ncommand: [echo, '{k}']\nsource: {grid: {k: [1]}}\n")
    site.hpcsweep("submit", c, "--after", "a")
    assert "is sent when nothing of a runs or waits" in site.hpcsweep("submit", b, "--after", "a")
    assert "then: b, when nothing runs or waits" in site.hpcsweep("status", "a")
    assert "It is sent when nothing of a runs or waits" in site.hpcsweep("status", "b", code=5)
    go(site)
    site.wait_complete("b", 2)
    assert sorted(str(row["z"]) for row in rows(site, "b")) == ["2", "5"]
    assert json.loads(site.hpcsweep("status", "a", "--json"))["followers"] == ["c"]
    assert "a is settled: nothing to wait for" in site.hpcsweep("submit", b, "--after", "a")


DOOR = """
import hpcsweep as hs
a = hs.Sweep("a", hs.grid(x=[1, 2, 3]), target="t.py:square", stop_after=100)
a.submit()
b = hs.Sweep("b", {"sweep": "a", "columns": ["y"]}, target="t.py:refine")
for way in (lambda: b.n_cases, b.submit, lambda: b.submit(after=a, rerun="all")):
    try:
        way()
    except hs.HpcsweepError as error:
        print(error)
assert b.submit(after=a).plans == ()
assert hs.Sweep("c", hs.grid(y=[1, 2]), target="t.py:refine").submit(after="b").plans == ()
open("go", "w").close()
a.wait()
"""
LATER = """
import hpcsweep as hs
b = hs.Sweep("b", {"sweep": "a", "columns": ["y"]}, target="t.py:refine")
assert b.n_cases == 3
done = hs.Sweep("d", hs.grid(y=[1, 2]), target="t.py:refine").submit(after=b)
print(len(done.plans), "submission")
"""


def test_the_python_door_sends_one_stage_after_the_other(site: Site) -> None:
    def python(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=site.root,
            env=site.cluster.env(**GRACES),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = python(DOOR)
    assert said.count("the sweep a is not complete") == 2
    assert "a whole sweep is sent later, as it is described" in said
    assert "b: is sent when every case of a is complete" in said
    assert "c: is sent when every case of b is complete" in said
    site.wait_complete("b", 3)
    site.wait_complete("c", 2)
    said = python(LATER)
    assert "b is complete: nothing to wait for" in said
    assert "1 submission" in said


def test_without_closing_jobs_it_is_said_what_sends_it(site: Site) -> None:
    site.hpcsweep("submit", write(site, "a", A))
    b = write(site, "b", "name: b\ncommand: [echo, '{k}']\nsource: {grid: {k: [1, 2]}}\n")
    said = site.hpcsweep("submit", b, "--after", "a", "--throttle", "1")
    assert "a has no closing jobs" in said
    assert "hpcsweep advance" in said
    assert "nothing to submit, 3 cases are under way" in site.hpcsweep("submit", "a.yaml")
    site.hpcsweep("advance", "a")
    assert not list((site.root / "outputs" / "b").glob("submissions/*"))
    go(site)
    site.wait_complete("a", 3)
    said = site.hpcsweep("status", "a")
    assert "a stands still: b waits to be sent, and no closing job does it: this sweep has" in said
    (fact,) = (site.root / "outputs" / "a" / "followers").iterdir()
    text = fact.read_bytes()
    assert "b: submission 1, 2 cases" in site.hpcsweep("advance", "a")
    (plan,) = (site.root / "outputs" / "b").glob("submissions/*/plan.json")
    assert json.loads(plan.read_text())["parts"][0]["throttle"] == 1
    # As if it had been killed after the submit: the next one asks again, and nothing is sent twice.
    fact.write_bytes(text)
    assert "b: nothing to submit" in site.hpcsweep("advance", "a")
    assert "b: " not in site.hpcsweep("advance", "a")
    said = site.hpcsweep(
        "submit",
        write(site, "d", "name: d\ncommand: [echo, '{k}']\nsource: {grid: {k: [1, 2]}}\n"),
        "--after",
        "a",
    )
    assert "a is complete: nothing to wait for" in said
    assert "d: submission 1, 2 cases" in said


def test_what_cannot_be_sent_later_is_refused_now(site: Site) -> None:
    site.hpcsweep("submit", write(site, "a", A + CLOSES))
    b = write(site, "b", "name: b\ncommand: [echo, '{k}']\nsource: {grid: {k: [1, 2]}}\n")
    for source, said in (
        ("{sweep: a, columns: [w]}", "it does not take the parameter w"),
        ("{sweep: a, colums: [y]}", "unknown key"),
        ("{sweep: nowhere}", "there is no sweep 'nowhere'"),
    ):
        wrong = write(site, "w", f"name: w\ntarget: t.py:refine\nsource: {source}\n")
        done = site.run("submit", wrong, "--after", "a")
        assert done.returncode in (3, 4)
        assert said in done.stderr
        assert not (site.root / "outputs" / "w").exists()
    impossible = "name: w\ncommand: [echo, '{k}']\nsource: {grid: {k: [1]}}\nslurm: {mem: 999G}\n"
    said = site.hpcsweep("submit", write(site, "w", impossible), "--after", "a", code=6)
    assert "slurm.mem asks for 1,022,976 MiB" in said
    assert not (site.root / "outputs" / "w").exists()
    assert "--after sends a whole sweep later" in site.hpcsweep(
        "submit", b, "--after", "a", "--wait", code=2
    )
    assert "there is no sweep" in site.hpcsweep("submit", b, "--after", "z", code=5)
    site.hpcsweep("submit", b, "--after", "a")
    cycle = site.hpcsweep("submit", "a.yaml", "--after", "b", code=3)
    assert "a is complete" not in cycle
    assert "b is sent after a itself: none of them would begin" in cycle
    assert "It is sent when every case of a is complete" in site.hpcsweep("status", "b", code=5)
    assert "b is no longer sent after a" in site.hpcsweep("cancel", "b")
    go(site)
    site.wait_complete("a", 3)
    site.hpcsweep("advance", "a")
    assert not list((site.root / "outputs" / "b").glob("submissions/*"))


@pytest.mark.soak
def test_reduce_and_follower_on_a_real_slurm(private_slurm: MakeSlurm, tmp_path: Path) -> None:
    """Two arrays, their closing jobs, a reduce and a second stage, with no process of ours."""
    cluster = RealCluster(private_slurm(max_array_size=6))
    site = Site(tmp_path, cluster)  # type: ignore[arg-type]  # it has the same `env`
    (tmp_path / "t.py").write_text(f"{TARGET}def combine(table): return {{'rows': 12}}\n")
    first = A.replace("[1, 2, 3]", "{range: [0, 12]}")
    site.hpcsweep("submit", write(site, "a", f"{first}chunk: 2\nreduce: t.py:combine\n"))
    b = write(site, "b", "name: b\ntarget: t.py:refine\nsource: {sweep: a, columns: [y]}\n")
    site.hpcsweep("submit", b, "--after", "a")
    go(site)
    site.wait_complete("b", 12)
    site.wait_complete("a/reduce", 1)
