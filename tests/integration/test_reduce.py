"""`reduce`: what runs once over the table of a sweep, as a job, when its cases are complete."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hpcsweep.journal import all_journals, read
from tests.support.small_site import GRACES, Site, site
from tests.support.wait import wait_until

__all__ = ["site"]  # fixtures are found by their names

CASES = "target: t.py:square\nsource: {grid: {x: {range: [0, 6]}}}\nchunk: 2\n"
TARGET = """
def square(x):
    return {"y": x * x}
"""
GATHER = """
import csv
from pathlib import Path

def combine(sweep, table):
    if (Path(__file__).parent / "broken").exists():
        raise ValueError("there is no sum")
    with open(table) as rows:
        total = sum(int(row["y"]) for row in csv.DictReader(rows))
    return {"total": total, "name": Path(sweep).name}
"""


def write_code(site: Site) -> None:
    (site.root / "t.py").write_text(TARGET)
    (site.root / "gather.py").write_text(GATHER)


def reduced(site: Site) -> dict[str, object]:
    """What `status` says of the reduce."""
    found: dict[str, object] = json.loads(site.hpcsweep("status", "s", "--json"))["reduce"]
    return found


def metrics(site: Site) -> dict[str, object]:
    row = json.loads(site.hpcsweep("collect", "s/reduce", "--format", "jsonl"))
    return {name: row.get(name) for name in ("total", "name", "status")}


def starts(site: Site) -> int:
    """How often the reduce began, by its journals."""
    journals = site.root / "outputs" / "s" / "reduce" / "journal"
    kinds = Counter(
        record["kind"]
        for name in all_journals(journals)
        for reading in read(journals / name)
        for record in reading.records
    )
    return kinds["begin"]


def test_a_reduce_that_can_never_start_is_refused_before_its_cases(site: Site) -> None:
    write_code(site)
    own = "reduce: gather.py:combine\nreduce_slurm: {mem: 999G}\n"
    for more in ((), ("--dry-run",)):
        said = site.hpcsweep("submit", site.manifest(CASES + own), *more, code=6)
        assert "the reduce, or never start it: reduce_slurm.mem asks for 1,022,976 MiB" in said
    assert not (site.root / "outputs").exists()


def test_a_retry_that_can_ask_for_no_more_time_is_said(site: Site) -> None:
    write_code(site)
    why = "retry: a case is not sent again after timeout, since slurm.time is not set"
    for more, is_said in (
        ("retry: {on: [timeout]}\n", True),
        ("retry: {on: [timeout]}\nslurm: {time: 5}\n", False),
        ("retry: {on: [out_of_memory]}\n", False),
        ("retry: {on: [timeout]}\ncanary: 3\n", False),  # it sizes the time
    ):
        said = site.hpcsweep("submit", site.manifest(CASES + more), "--dry-run")
        assert (why in said) == is_said, more


def test_status_says_that_no_closing_job_sends_it(site: Site) -> None:
    write_code(site)
    text = f"{CASES}reduce: gather.py:combine\nslurm: {{hold: true}}\n"
    site.hpcsweep("submit", site.manifest(text))
    facts = site.root / "outputs/s/submissions/0001"
    array, closing = (
        json.loads((facts / f"part-0000.{kind}.json").read_bytes())["job_id"]
        for kind in ("job", "closing")
    )
    site.cluster.out("scancel", closing)
    site.cluster.out("scontrol", "release", array)
    site.wait_for(complete=6)
    waits = (
        f"s stands still: its reduce waits to be sent, and no closing job does it: job {closing}"
    )
    assert f"{waits} is CANCELLED, and it left no log" in site.hpcsweep("status", "s")
    log = site.root / "outputs/s/logs/0001/closing-0.log"
    log.write_text("a line\nhpcsweep: the queue is full\n  Wait, and try again.\n")
    assert (
        f"{waits} is CANCELLED; its log ends with: hpcsweep: the queue is full\n"
        in site.hpcsweep("status", "s")
    )
    assert "s/reduce: submission 1" in site.hpcsweep("advance", "s")
    assert "stands still" not in site.hpcsweep("status", "s")


NO_CLOSING = "reduce: gather.py:combine\nclosing: {partition: nonesuch}\n"


def test_a_closing_job_sends_it_once_for_the_same_cases(site: Site) -> None:
    write_code(site)
    manifest = site.manifest(f"{CASES}reduce: gather.py:combine\n")
    site.hpcsweep("submit", manifest)
    site.wait_complete("s/reduce", 1)
    assert metrics(site) == {"total": 55, "name": "s", "status": "complete"}
    assert "reduce: complete" in site.hpcsweep("status", "s")
    assert "s/reduce" not in site.hpcsweep("submit", manifest)
    assert starts(site) == 1
    # More cases: the reduce runs once more, over all of them.
    grown = site.manifest(f"{CASES}reduce: gather.py:combine\n".replace("[0, 6]", "[0, 7]"))
    said = site.hpcsweep("submit", grown, "--wait")
    assert "s: 7 complete of 7\nreduce: complete" in said
    assert metrics(site)["total"] == 91
    assert starts(site) == 2


def test_one_that_failed_is_named_with_its_log_and_runs_again(site: Site) -> None:
    write_code(site)
    (site.root / "broken").touch()
    manifest = site.manifest(f"{CASES}reduce: gather.py:combine\n")
    said = site.hpcsweep("submit", manifest, "--wait", code=9)
    assert "reduce: failed (error); `hpcsweep logs s/reduce 0` says why" in said
    assert "ValueError: there is no sum" in site.hpcsweep("logs", "s/reduce", "0")
    assert "nothing to submit" in site.hpcsweep("advance", "s")  # cron does not repeat it
    assert starts(site) == 1
    # A failure is repeated where the manifest asks for something else, and by `retry`.
    changed = site.manifest(f"{CASES}reduce: gather.py:combine\nreduce_slurm: {{comment: more}}\n")
    assert "s/reduce: submission 2" in site.hpcsweep("submit", changed, "--wait", code=9)
    (site.root / "broken").unlink()
    said = site.hpcsweep("retry", "s", "--wait")
    assert "s/reduce: submission 3, 1 case " in said
    assert metrics(site)["total"] == 55


def test_many_advances_at_once_send_it_once_and_a_full_queue_later(site: Site) -> None:
    write_code(site)
    site.hpcsweep("submit", site.manifest(CASES + NO_CLOSING))
    site.wait_complete("s", 6)
    full = [site.cluster.submit("--hold", "--wrap", "true") for _ in range(8)]
    assert "the queue has no room for you" in site.hpcsweep("advance", "s", code=6)
    assert not (site.root / "outputs" / "s" / "reduce" / "submissions").exists()
    site.cluster.out("scancel", *map(str, full))

    argv = [sys.executable, "-m", "hpcsweep", "advance", "s"]
    env = site.cluster.env(**GRACES)
    started = [subprocess.Popen(argv, cwd=site.root, env=env) for _ in range(3)]
    assert [process.wait(90) for process in started] == [0, 0, 0]
    site.wait_complete("s/reduce", 1)
    assert starts(site) == 1

    # As if an `advance` was killed after it wrote the plan and before it sent anything.
    reduce = site.root / "outputs" / "s" / "reduce"
    for path in (*reduce.glob("submissions/0001/part-*"), *reduce.glob("journal/0001/*/*")):
        path.unlink()
    (reduce / "store.sqlite3").unlink()
    assert "s/reduce: submission 2" in site.hpcsweep("advance", "s")
    site.wait_complete("s/reduce", 1)


def test_a_command_where_not_every_case_completes(site: Site) -> None:
    write_code(site)
    (site.root / "t.py").write_text(TARGET.replace("return", "assert x != 3\n    return"))
    manifest = site.manifest(
        f"{CASES}reduce: [cp, '{{table}}', '{{run_dir}}/all.csv']\nreduce_when: settled\n"
        "closing: {partition: nonesuch}\n"
    )
    said = site.hpcsweep("submit", manifest, "--wait", code=9)
    assert "not every case is complete: 5 complete, 1 failed of 6" in said
    assert reduced(site)["status"] == "complete"
    (copy,) = site.root.glob("outputs/s/reduce/runs/*/all.csv")
    assert [line.split(",")[3] for line in copy.read_text().splitlines()[1:]].count("failed") == 1


def test_it_is_cancelled_with_the_sweep(site: Site) -> None:
    write_code(site)
    site.hpcsweep("submit", site.manifest(f"{CASES}reduce: [sleep, '60']\n"))
    wait_until(lambda: starts(site) == 1, 90, "the reduce's start", poll_s=0.5)
    assert "cancelled: " in site.hpcsweep("cancel", "s")
    wait_until(lambda: reduced(site)["status"] == "interrupted", 90, "its end", poll_s=0.5)
    site.hpcsweep("advance", "s")
    assert starts(site) == 1


def test_what_could_not_run_is_refused_before_anything_is_sent(site: Site) -> None:
    write_code(site)
    with (site.root / "gather.py").open("a") as code:
        code.write("\ndef needs(table, more): pass\n")
    for reduce, said in (
        ("gather.py:nothing", "there is no 'nothing' in it"),
        ("gather.py:needs", "nothing fills its argument more"),
        ("[./missing]", "there is no program './missing'"),
    ):
        assert said in site.hpcsweep("submit", site.manifest(f"{CASES}reduce: {reduce}\n"), code=4)
        assert not Path(site.root / "outputs").exists()
