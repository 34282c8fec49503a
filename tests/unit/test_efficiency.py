"""`efficiency`: what attempts used of what their tasks asked for, and the lines that fit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.cli.render.efficiency import print_efficiency
from hpcsweep.quantities import memory_bytes
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.sources import grid
from hpcsweep.state.advice import advice_for
from hpcsweep.state.efficiency import Efficiency, histogram
from hpcsweep.state.executions import ExecutionReader
from hpcsweep.state.resource_use import ResourceUse, resource_use
from tests.support.sweeps import MadeSweep

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"
BEGIN = datetime(2026, 11, 29, tzinfo=UTC)
GIB = 1 << 30
# Holds 64 MiB, and one CPU for a fifth of a second.
PYTHON = """
import time

def run(n):
    held = b"x" * (64 << 20)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return {"n": n}
"""


def moment(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def attempt(task: int = 0, begin: float = 0.0, wall: float = 60.0, **other: Any) -> dict[str, Any]:
    """A complete one that used a CPU and 1 GiB."""
    return {
        "submission": 1,
        "job_id": str(task),
        "status": Status.COMPLETE.value,
        "reason": None,
        "started": moment(begin),
        "ended": moment(begin + wall),
        "wall_seconds": wall,
        "cpu_seconds": wall,
        "max_rss_bytes": GIB,
        "host": "n1",
        "restart": 0,
        **other,
    }


def used(options: dict[str, str], *attempts: dict[str, Any]) -> ResourceUse:
    reader = ExecutionReader()
    reader.add_attempts({"idx": at, **one} for at, one in enumerate(attempts))
    return resource_use(Resources(options=options), reader.made())


def lines(use: ResourceUse) -> dict[str, str]:
    return {advice.option: advice.value for advice in advice_for(use)}


def test_the_example_of_the_reference_is_what_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Three tasks of two cases each, one after the other: seconds and MiB of each case.
    cases = [(9.2, 214), (9.2, 208), (7.6, 205), (7.6, 211), (7.6, 201), (7.6, 203)]
    use = used(
        {"cpus-per-task": "2", "mem": "2G", "time": "01:00:00"},
        *(
            attempt(
                at // 2,
                begin=wall * (at % 2),
                wall=wall,
                cpu_seconds=2.03 if at == 0 else 1.588,
                max_rss_bytes=peak << 20,
            )
            for at, (wall, peak) in enumerate(cases)
        ),
    )
    print_efficiency(Efficiency(name="s", uses=[use]))
    assert f"```text\n{capsys.readouterr().out}```" in PAGE.read_text()


def test_more_than_was_needed_is_said_with_what_was_enough() -> None:
    use = used(
        {"time": "04:00:00", "mem": "16G", "cpus-per-task": "4"},
        *(attempt(task, wall=60.0 + task) for task in range(10)),
    )
    assert lines(use) == {"time": '"00:02:00"', "mem": "1300M", "cpus-per-task": "1"}
    assert use.cpu_asked_s == 4 * use.cpu_used_s
    (memory,) = [advice for advice in advice_for(use) if advice.option == "mem"]
    assert memory.text == "mem: 1300M  # instead of 16G: the largest of 10 cases needed 1.0 GiB"


def test_one_task_and_an_option_without_a_value_are_said_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = (attempt(begin=61.0 * number) for number in range(5))
    use = used({"exclusive": "", "mem": "0", "time": "04:00:00"}, *cases)
    (time,) = [advice for advice in advice_for(use) if advice.option == "time"]
    assert time.because.startswith("the only task took ")
    print_efficiency(Efficiency(name="s", uses=[use]))
    assert "exclusive, mem 0, time 04:00:00\n" in capsys.readouterr().out


def test_what_fits_is_left_as_it_is() -> None:
    options = {"time": "00:02:00", "mem": "1400M"}
    assert lines(used(options, *(attempt(task) for task in range(10)))) == {}


def test_cases_beside_each_other_need_the_memory_and_cpus_of_all() -> None:
    # Two at once in each of three tasks, two after each other.
    attempts = [
        attempt(task, begin, wall=60.0) for task in range(3) for begin in (0, 0.5, 61, 61.5)
    ]
    use = used({"mem": "64G", "cpus-per-task": "8"}, *attempts)
    assert use.at_once == 2
    assert use.memory_needed == 2 * GIB
    assert lines(use)["cpus-per-task"] == "2"
    assert lines(use)["mem"] == "2600M"


def test_one_outlier_in_a_thousand_does_not_decide() -> None:
    attempts = [attempt(task, max_rss_bytes=GIB) for task in range(999)]
    use = used({"mem": "16G"}, *attempts, attempt(999, max_rss_bytes=12 * GIB))
    assert use.memory_needed == GIB
    assert "99th percentile" in advice_for(use)[0].because


def test_more_than_was_asked_for_is_said_as_well() -> None:
    """A cluster that does not enforce the limit lets it pass; the next one kills the case."""
    use = used({"mem": "512M"}, *(attempt(task) for task in range(5)))
    assert lines(use)["mem"] == "1300M"


@pytest.mark.parametrize("options", [{"mem": "0"}, {"exclusive": "", "mem": "16G"}])
def test_memory_of_whole_nodes_is_no_advice(options: dict[str, str]) -> None:
    use = used(options, *(attempt(task) for task in range(9)))
    assert use.memory_asked is None
    assert "mem" not in lines(use)


def test_memory_per_cpu_is_advised_per_cpu() -> None:
    options = {"mem-per-cpu": "4G", "cpus-per-task": "2"}
    use = used(options, *(attempt(task, cpu_seconds=120.0) for task in range(9)))
    assert use.memory_asked == 8 * GIB
    assert lines(use)["mem-per-cpu"] == "700M"


def test_limits_that_ended_cases_are_not_lowered() -> None:
    ended = attempt(9, wall=3600.0, status="interrupted", reason=Reason.TIMEOUT.value)
    use = used({"time": "02:00:00"}, *(attempt(task) for task in range(9)), ended)
    assert use.ran_out == {Reason.TIMEOUT: 1}
    assert "time" not in lines(use)


def test_few_cases_give_no_advice() -> None:
    assert lines(used({"mem": "16G"}, attempt(), attempt(1))) == {}


def test_a_clock_that_runs_backwards_makes_no_negative_time() -> None:
    use = used({"time": "01:00:00"}, attempt(ended=moment(-10)))
    assert use.task_seconds == [0.0]


def test_a_histogram_counts_every_value() -> None:
    values = np.array([0.0, 0.1, 0.5, 0.99, 1.0])
    intervals = histogram(values, 4)
    assert [count for *_, count in intervals] == [2, 0, 1, 2]
    assert intervals[0][0] == 0.0
    assert intervals[-1][1] == 1.0
    assert histogram(np.array([3.0, 3.0]), 4) == [(3.0, 3.0, 2)]


def test_a_sweep_whose_use_is_known(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path,
        grid(n=[1, 2, 3, 4, 5, 6]),
        python=PYTHON,
        resources=Resources(options={"mem": "8G", "time": "01:00:00", "cpus-per-task": "2"}),
    )
    made.plan(chunk_size=6)
    made.handed_in()
    made.run(0)
    done = CliRunner().invoke(main, ["efficiency", str(made.path), "--json"])
    (use,) = json.loads(done.stdout)["uses"]
    assert (use["complete"], use["tasks"], use["asked"]["mem"]) == (6, 1, "8G")
    assert 64 << 20 <= use["memory_bytes"]["needed"] <= 164 << 20
    assert 1.2 <= use["cpu_seconds"]["used"] <= 2.4
    advice = {line["option"]: line["value"] for line in use["advice"]}
    assert use["memory_bytes"]["needed"] < (memory_bytes(advice["mem"]) or 0) <= 300 << 20
    assert hs.Sweep(str(made.path)).efficiency().to_json()["uses"] == [use]
    text = CliRunner().invoke(main, ["efficiency", str(made.path)]).stdout
    assert f"mem: {advice['mem']}  # instead of 8G" in text
