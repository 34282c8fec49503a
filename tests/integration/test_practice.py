"""Inputs and situations from practice, each a small script beside the checkout, tried as they are.

The folder is `../shared/cases`: `NN-name/run.sh` ends with 0 where hpcsweep behaves; those in
`attacks/` force a fault and print what happened, which is judged here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
CASES = sorted(path.parent.name for path in FOLDER.glob("[0-9]*/run.sh"))
ATTACKS = FOLDER / "attacks"
SCRIPT_S = 280
Attack = Callable[[str], str]
# What another issue brings; strict, so that the list is shortened with it.
LATER: dict[str, str] = {}

# What takes longest runs with --soak; the test beside it tries the same in every run, smaller.
SCALED = {
    "01-busy-submit": "faults/test_racing_submits.py::test_of_many_first_submits_one_succeeds",
    "01-site-sbatch-banner-not-parsable": (
        "integration/test_bad_input.py::test_a_job_id_in_the_output_of_a_site_wrapper"
    ),
    "03-accepted-but-error-answer": (
        "integration/test_bad_input.py::test_an_array_that_was_accepted_without_an_answer"
    ),
    "05-nolock-two-hosts": "faults/test_racing_submits.py::test_of_many_first_submits_one_succeeds",
    "07-one-misshapen-record": (
        "property/test_misshapen_records.py::test_a_wrong_record_costs_its_own_line"
    ),
    "09-metrics-fifo-and-endless": (
        "unit/test_command.py::test_metrics_that_are_no_file_cost_their_case"
    ),
    "12-metrics-json-of-non-python-programs": (
        "unit/test_command.py::test_numbers_as_other_languages_print_them"
    ),
    "17-module-level-state-between-cases": (
        "unit/test_equal_cases.py::test_every_case_begins_as_the_first_one"
    ),
    "26-job-that-will-never-start": (
        "faults/test_asking.py::test_the_reason_of_waiting_tasks_is_shown"
    ),
    "27-tmpdir-home-cron-and-closed-streams": (
        "integration/test_bare_surroundings.py::test_an_environment_that_lacks_much"
    ),
    "31-arrays-switched-off-or-tiny": (
        "contract/test_handing_in.py::test_without_arrays_each_task_is_a_job"
    ),
}

# strace -f waits for every process that came of the first one: also for an emulated cluster, which
# ends minutes after its last job. This one ends with the program that it was told to run.
STRACE = """#!/bin/bash
PATH=${PATH#*:}
strace -I2 "$@" & traced=$!  # else -o makes it deaf to signals
quiet=0
while [ $quiet -lt 4 ] && kill -0 $traced 2>/dev/null; do
  sleep 0.25
  children=$(cat /proc/$traced/task/$traced/children 2>/dev/null)
  if [ "$children" ]; then quiet=0; else quiet=$((quiet + 1)); fi
done
kill -TERM $traced 2>/dev/null
wait $traced
"""

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there is no {FOLDER}"),
    pytest.mark.timeout(SCRIPT_S + 20),
]


def run(script: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with the program under test; output and errors in one text."""
    return subprocess.run(
        ["bash", str(script)],
        env=os.environ | {"HPCSWEEP": str(HPCSWEEP), "PY": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        timeout=SCRIPT_S,
        check=False,
    )


def marked(name: str) -> object:
    marks = [pytest.mark.xfail(reason=LATER[name])] if name in LATER else []
    return pytest.param(name, marks=[*marks, *([pytest.mark.soak] if name in SCALED else [])])


@pytest.mark.parametrize("name", SCALED)
def test_a_case_that_runs_with_soak_is_tried_in_every_run(name: str) -> None:
    file, _, test = SCALED[name].partition("::")
    assert f"def {test}(" in (Path(__file__).parents[1] / file).read_text()
    assert list(FOLDER.glob(f"**/{name}*")), f"there is no {name}"


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_a_case_from_practice(name: str) -> None:
    done = run(FOLDER / name / "run.sh")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """`attack(file)` is what a forced fault printed; never a traceback."""
    (tmp_path / "bin").mkdir()
    strace = tmp_path / "bin" / "strace"
    strace.write_text(STRACE)
    strace.chmod(0o755)
    monkeypatch.setenv("PATH", f"{strace.parent}:{os.environ['PATH']}")
    yield _attack
    for home in Path(os.environ["TMPDIR"]).glob("attack.*/home"):
        environment = os.environ | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        stop = [HPCSWEEP, "emulator", "stop"]
        subprocess.run(stop, env=environment, capture_output=True, check=False)


def _attack(file: str) -> str:
    said = run(ATTACKS / file).stdout
    assert "Traceback" not in said, said
    return said


def exit_codes(said: str, pattern: str = r"rc[ =](\d+)") -> list[int]:
    return [int(code) for code in re.findall(pattern, said)]


@pytest.mark.soak
def test_the_loser_of_a_race_removes_nothing(attack: Attack) -> None:
    said = attack("01-busy-submit-deletes-winner.sh")
    # By its words: strace, told to leave the scheduler that the winner started, ends with 143.
    assert said.count("conc: submission 1, 3 cases in 3 array tasks") == 1, said
    assert "outputs/conc/submissions/0001" in said, said
    assert "submissions/0002" not in said, said
    assert "conc: nothing to submit" in said, said


@pytest.mark.soak
def test_two_hosts_without_locks_send_one_array(attack: Attack) -> None:
    said = attack("05-nolock-two-hosts.sh")
    counts = re.findall(r"^ +(\d+) (\d)$", said, re.MULTILINE)
    assert sorted(counts) == [("1", "1"), ("1", "2")], said
    assert "2 complete of 2" in said or "nothing to submit, 2 complete" in said, said


def test_a_stray_write_costs_at_most_its_own_case(attack: Attack) -> None:
    said = attack("03-stray-fd-write-kills-worker-and-writes-journal.sh")
    for index in (0, 2, 3):
        assert re.search(rf"^ +{index} +complete", said, re.MULTILINE), said
    journal = said[: said.rindex('"kind":')]
    assert "garbage" not in journal, said  # the task's own output, below, may have it


def test_a_damaged_pack_is_reported(attack: Attack) -> None:
    said = attack("04-damaged-pack-hang.sh")
    assert not {0, 124} & set(exit_codes(said, r"^rc (\d+)")), said


def test_a_killed_logbook_begins_again(attack: Attack) -> None:
    assert attack("06-logbook-killed-at-first-write.sh").rstrip().endswith("complete")


@pytest.mark.soak
def test_a_malformed_record_costs_only_itself(attack: Attack) -> None:
    said = attack("07-one-misshapen-record-blocks-every-command.sh")
    codes = exit_codes(said)
    assert codes == [0] * 18, said


def test_no_escape_sequence_reaches_a_reader(attack: Attack) -> None:
    said = attack("08-terminal-escapes.sh")
    assert "pwned" in said, said
    assert not re.search(r"\^\[|\^G", said), said  # as `cat -v` shows them


@pytest.mark.soak
def test_background_processes_of_a_program_do_not_block(attack: Attack) -> None:
    said = attack("09-metrics-fifo-and-endless.sh")
    assert 124 not in exit_codes(said), said
    assert "Nothing is under way" in said, said
