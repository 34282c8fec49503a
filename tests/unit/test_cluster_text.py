"""The text seam of Slurm: our command lines, and parsing of transcripts of a real 22.05.8."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from hpcsweep.cluster.jobs import AccountingRow, Queued
from hpcsweep.cluster.slurm import text
from hpcsweep.cluster.timelimit import warning_seconds
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.quantities import time_limit_seconds
from hpcsweep.records import Part
from tests.support.arrays import array as an_array
from tests.support.transcripts import TRANSCRIPTS, Block, found, one


def asked(block: Block) -> str:
    """An answer of `squeue -o '%i|%A|%T…'` in the columns of our own question."""
    rows = (line.split("|") for line in block.out)
    pairs = ((*element.partition("_")[::2], state) for element, _, state, *_ in rows)
    return "".join(f"{base}|{task}|{state}\n" for base, task, state in pairs)


# --- sbatch --------------------------------------------------------------------------------------


def test_every_answer_of_sbatch_parsable_is_read() -> None:
    answers = found("01-sbatch-basic", r"^sbatch --parsable") + found(
        "01-sbatch-array-syntax", r"^sbatch --parsable"
    )
    accepted = [block for block in answers if block.out]
    assert len(accepted) > 20
    for block in accepted:
        number = re.match(r"\d+", block.out[0])[0]  # type: ignore[index]
        assert (text.accepted(block.text) or ("",))[0] == number
    elsewhere = one("01-sbatch-basic", "--parsable -M test").text
    assert text.accepted(elsewhere) == ("2171", "test")


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "\n",
        "abc",
        "12 34",
        ";test",
        "2171;",
        "0x10",
        "²",
        "-5",
        "5 on cluster test",
        "Submitted batch job",
        "Submitted batch job 5 at noon",
        "job 5",
    ],
)
def test_an_invalid_job_id_is_none(stdout: str) -> None:
    assert text.accepted(stdout) is None


@pytest.mark.parametrize("stdout", ["5\n6\n", "5\n5;a\n6\n", "Submitted batch job 5\n2026\n"])
def test_several_job_ids_are_doubtful(stdout: str) -> None:
    with pytest.raises(ClusterUnavailable, match="holds 2 numbers"):
        text.accepted(stdout)


@pytest.mark.parametrize(
    "stdout",
    [
        "Your fair share is low.\n\n2169\n",
        "2169\nGood luck.\n",
        "Submitted batch job 2169\n",
        "--> Quota: 12 of 100 OK\nSubmitted batch job 2169\n--> done\n",
        "  2169  \r\n",
        "\x1b[1;32m2169\x1b[0m\n",
        "\x1b]0;login4\x07\x1b[KSubmitted batch job 2169\r\n",
        "2169\nSubmitted batch job 2169\n",
    ],
)
def test_text_of_a_site_around_the_job_id(stdout: str) -> None:
    assert text.accepted(stdout) == ("2169", "")


def test_a_price_behind_the_job_id() -> None:
    """As a wrapper of sbatch prints it."""
    answer = "Submitted batch job 2169 estimates 2 SUs from allocation x. Remaining SUs: 23\n"
    table = "JOBID  NAME  ST\n2169  prep.nowcast  PD\n"
    assert text.accepted(answer + table) == ("2169", "")


@pytest.mark.parametrize(
    "stdout", ["Fair share\n2169;test\n", "a\nSubmitted batch job 2169 on cluster test\nb\n"]
)
def test_the_cluster_of_a_job(stdout: str) -> None:
    assert text.accepted(stdout) == ("2169", "test")


@pytest.mark.parametrize(
    ("part", "array"),
    [
        (Part(number=0, first_chunk=0, chunks=1), "0-0"),
        (Part(number=3, first_chunk=3000, chunks=1000, throttle=7), "0-999%7"),
    ],
)
def test_an_array_has_dense_ids(part: Part, array: str) -> None:
    argv = text.sbatch(an_array(part, script="/s s/a.sbatch", logs="/o%"))
    assert f"--output=/o%%/{part.number}.%A_%a.log" in argv
    assert f"--array={array}" in argv
    assert argv[0:2] == ["sbatch", "--parsable"]
    assert argv[-2:] == ["/s s/a.sbatch", str(part.number)]


def test_the_output_of_each_task_has_a_file_of_its_own() -> None:
    part = Part(number=2, first_chunk=0, chunks=5)
    assert text.output_pattern("/a b/100%", part) == "/a b/100%%/2.%A_%a.log"


# --- squeue --------------------------------------------------------------------------------------


def test_elements_of_a_running_array() -> None:
    """Collapsed by default; `-r` has a line for each, also of those that just ended."""
    block = one("03-states-a", r"^squeue -h -r -t all .* -j 2417")
    states = {key: one.state for key, one in text.elements(asked(block)).items()}
    assert states == {
        ("2417", 1): "CANCELLED",
        ("2417", 4): "PENDING",
        ("2417", 7): "PENDING",
        ("2417", 9): "PENDING",
        ("2417", 3): "RUNNING",
        ("2417", 2): "RUNNING",
        ("2417", 0): "RUNNING",
    }


def test_rows_have_the_requested_columns() -> None:
    block = one("03-exitcodes-misc", r"^squeue -h -r -j 16864 -o '%i\|%A\|%F\|%K\|%T'")
    rows = ["|".join(line.split("|")[2:]) for line in block.out]
    elements = text.elements("\n".join(rows))
    assert len(elements) == len(block.out) > 0
    assert {base for base, _ in elements} == {"16864"}


@pytest.mark.parametrize("number", range(2))
def test_a_collapsed_array_gives_no_element(number: int) -> None:
    """A collapsed row of squeue without -r is never parsed as an element, whole or cut at 31."""
    block = found("03-states-a", r"^squeue -h -o .* -j 2417")[number]
    assert all("[" not in str(element) for element in text.elements(asked(block)))
    cut = "2250|0,2,4,6,8,10,12,14,16,18,|PENDING\n2247|[10276,11206,12816,12925,1|PENDING\n"
    assert text.elements(cut) == {}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "|||",
        "2417",
        "CLUSTER: test",
        "             JOBID PARTITION",
        "slurm_load_jobs error: Invalid job id specified",
        "2417|-1|RUNNING",
        "24 17|1|RUNNING",
    ],
)
def test_other_lines_of_squeue_are_skipped(line: str) -> None:
    assert text.elements(f"{line}\n5|7|RUNNING\n") == {("5", 7): Queued("RUNNING")}


def test_an_element_without_a_state_is_there() -> None:
    assert text.elements("5|7\n5|8|\n") == {("5", 7): Queued(""), ("5", 8): Queued("")}


def test_the_reason_is_all_that_is_left_of_the_line() -> None:
    """It may contain the separator, and a site's own words."""
    line = "5|7|PENDING|N/A|ReqNodeNotAvail, UnavailableNodes:n4|n5\n"
    assert text.elements(line)["5", 7].reason == "ReqNodeNotAvail, UnavailableNodes:n4|n5"


@pytest.mark.parametrize(
    ("shown", "start"),
    [
        ("2026-11-29T12:00:00", datetime(2026, 11, 29, 12).timestamp()),  # noqa: DTZ001
        ("N/A", None),
        ("", None),
        ("Unknown", None),
    ],
)
def test_the_start_is_a_local_time_or_unknown(shown: str, start: float | None) -> None:
    found = text.elements(f"5|7|PENDING|{shown}|Resources\n")
    assert found["5", 7] == Queued("PENDING", "Resources", start)


# --- sacct ---------------------------------------------------------------------------------------

WANTED = ("jobid", "jobname", "state", "end")


def test_rows_of_an_array() -> None:
    block = one("03-states-a2", r"^sacct -P .* -j 2395,2415,2424,2426")
    block.out = [line for line in block.out if line.count("|") == 13]  # the last one was cut
    rows = text.accounting(block.column(*WANTED))
    steps = [row for row in rows if "." in str(row.tasks)]
    assert steps == []
    by_task = {(row.job_id, task): row for row in rows for task in row.tasks}
    assert {by_task["2395", task].state for task in range(20)} == {"COMPLETED", "FAILED"}
    assert all(by_task["2395", task].is_final for task in range(20))
    # Those that were cancelled while they waited keep one row for ever.
    assert {key[1] for key in by_task if key[0] == "2424"} == {0, 1, 3, 4}
    assert by_task["2424", 3].state == "CANCELLED by 0"
    assert {row.tasks for row in rows if row.job_id == "2415"} == {(0,)}, "no array: element 0"


def test_a_bracketed_row_with_its_throttle() -> None:
    pending, cancelled = found("03-states-a", r"^sacct -P -o jobid,.* -j 2417")[:2]
    for block, final in ((pending, False), (cancelled, True)):
        rows = {row.tasks: row for row in text.accounting(block.column(*WANTED))}
        assert rows[4, 7, 9].is_final is final
    assert rows[4, 7, 9] == AccountingRow("2417", (4, 7, 9), "CANCELLED by 0", True)
    assert rows[(1,)].is_final


def test_phantom_rows_are_never_final() -> None:
    lines = (TRANSCRIPTS / "04-lag.txt").read_text().splitlines()
    phantoms = re.findall(r"(\d+)\|\d+\|(allocation)\|(\w+)\|", "\n".join(lines))
    assert {state for _, _, state in phantoms} == {"PENDING", "COMPLETED"}
    for base, name, state in phantoms:
        # As seen, and as it would look with the suffix of an element.
        for element in (base, f"{base}_0"):
            answer = f"{element}|{name}|{state}|2026-11-20T13:40:00\n"
            assert not any(row.is_final for row in text.accounting(answer))
    real = re.findall(r"(\d+_0)\|\d+\|(wrap)\|(COMPLETED)\|", "\n".join(lines))
    for element, name, state in real:
        (row,) = text.accounting(f"{element}|{name}|{state}|2026-11-20T13:40:00\n")
        assert row.is_final


def test_a_row_without_its_end_is_not_final() -> None:
    """While slurmdbd replays what it missed, states are terminal and wrong."""
    lines = (TRANSCRIPTS / "04-dbd-down.txt").read_text().splitlines()
    (replayed,) = [line.split()[1:] for line in lines if "Unknown 16773_1" in line]
    for row in replayed:
        element, state, _, _, end = row.split("|")
        (read,) = text.accounting(f"{element}|wrap|{state}|{end}\n")
        assert (read.state, read.is_final) == (state, False)
    block = one("04-dbd-down", r"^sacct -n -P -j 16773 -o jobid")
    settled = [row for row in text.accounting(block.column(*WANTED)) if row.is_final]
    assert [row.tasks for row in settled if row.tasks] == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("end", ["Unknown", "None", ""])
def test_end_times_that_are_not_known(end: str) -> None:
    (row,) = text.accounting(f"5_1|n|COMPLETED|{end}\n")
    assert not row.is_final


def test_a_requeued_element_keeps_its_state() -> None:
    """REQUEUED can stay for ever (a cancel during the requeue); it ends one start, not the task."""
    block = one("02-requeue-sacct", r"^sacct -P -X -o .* -j 2429")
    rows = {row.tasks: row.state for row in text.accounting(block.column(*WANTED))}
    assert rows == {
        (2,): "REQUEUED",
        (3,): "CANCELLED by 0",
        (0,): "CANCELLED by 0",
        (1,): "CANCELLED by 0",
    }


def test_a_job_name_with_a_line_break_spoofs_nothing() -> None:
    block = one("02-env", r"^sacct -X -P -o jobid,jobname,state")
    assert "x=1 JobState=FAKE" in block.text
    assert {row.tasks for row in text.accounting(block.text)} <= {(0,)}
    (row,) = text.accounting("2333|nl\nx=1 JobState=FAKE|COMPLETED|e\n7_0|n|FAILED|e\n")
    assert row == AccountingRow("7", (0,), "FAILED", True)


def test_a_job_name_may_hold_the_separator() -> None:
    (row,) = text.accounting("7_3|a|b|COMPLETED|c|FAILED|2026-11-20T13:40:00\n")
    assert row == AccountingRow("7", (3,), "FAILED", True)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "|||",
        "7_1|n|FAILED",
        "2395_3.batch|batch|FAILED|e",
        "2395.batch|batch|FAILED|e",
        "x_1|n|FAILED|e",
        "JobID|JobName|State|End",
        "_1|n|FAILED|e",
    ],
)
def test_rows_about_no_element(line: str) -> None:
    assert [row for row in text.accounting(line) if row.tasks] == []


@pytest.mark.parametrize(
    ("tasks", "numbers"),
    [
        ("7", [7]),
        ("[7]", [7]),
        ("[0-3]", [0, 1, 2, 3]),
        ("[4,7,9%3]", [4, 7, 9]),
        ("[1,3,5-7,20-30:5%2]", [1, 3, 5, 6, 7, 20, 25, 30]),
        ("[0-15%4]", list(range(16))),
        # Cut at 31 characters, or by a narrow column: no element, rather than a wrong one.
        ("[10276,11206,12816,12925,1", []),
        ("[4,7,9+", []),
        ("[10-20", []),
        ("[1,...]", []),
        ("[]", []),
        ("", []),
        ("[1-]", []),
        ("-1", []),
        ("[a]", []),
        ("1,2", []),
    ],
)
def test_task_lists(tasks: str, numbers: list[int]) -> None:
    assert list(text.expand(tasks)) == numbers


def test_every_array_string_that_squeue_showed_is_expanded() -> None:
    """What `squeue %i` showed of the arrays of 01-sbatch-array-syntax.txt, and `-r` as well."""
    shown = re.findall(
        r"squeue %i: \d+_(\[\S+\])", (TRANSCRIPTS / "01-sbatch-array-syntax.txt").read_text()
    )
    assert len(shown) > 20
    for tasks in shown:
        numbers = list(text.expand(tasks))
        assert numbers == sorted(set(numbers)) != [], tasks


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "states"),
    [
        ("2417|RUNNING|other\n2418|PENDING|s.1\n", {"2418": {"PENDING"}}),
        (
            "2418_[0-9%3]|PENDING|s.1\n2418_3|CANCELLED by 0|s.1\n2333|nl\nx=1|y\n",
            {"2418": {"PENDING", "CANCELLED by 0"}},
        ),
        ("1000|RUNNING|s.1\n999|FAILED|s.1\n", {"999": {"FAILED"}, "1000": {"RUNNING"}}),
        ("2417|RUNNING|other\n|RUNNING|s.1\n", {}),
    ],
)
def test_jobs_of_a_name(printed: str, states: dict[str, set[str]]) -> None:
    assert text.states_by_name(printed, "s.1") == states
    assert [*text.states_by_name(printed, "s.1")] == [*states]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("RUNNING", "PENDING", ["1", "2"]),
        ("CANCELLED", "RUNNING", ["2"]),
        ("CANCELLED by 0", "PENDING", ["2"]),
        ("RUNNING", "FAILED", ["1"]),
        ("COMPLETED,PENDING", "RUNNING", ["1", "2"]),
        ("COMPLETED,FAILED", "NODE_FAIL", ["2"]),
        ("COMPLETING,CANCELLED", "RUNNING", ["2", "1"]),  # it may be requeued: is cancelled
        ("COMPLETING,RUNNING", "RUNNING", ["1", "2"]),
        ("COMPLETING", "CANCELLED", ["1"]),
        ("A NEW ONE", "RUNNING", ["1", "2"]),
    ],
)
def test_of_two_arrays_of_a_name_the_one_that_lives_is_kept(
    first: str, second: str, kept: list[str]
) -> None:
    states = {"1": set(first.split(",")), "2": set(second.split(","))}
    assert text.one_and_copies(states) == kept


# --- configuration and times ---------------------------------------------------------------------


def test_the_configuration() -> None:
    values = text.config_values(one("06-limits", "scontrol show config").text)
    assert values["MaxArraySize"] == "1001"
    assert text.seconds(values["KillWait"]) == 5.0
    assert text.seconds(one("04-acct-none-minjobage", "MinJobAge").out[0].split("= ")[1]) == 2.0
    assert values["AccountingStorageEnforce"]


@pytest.mark.parametrize("value", ["", "(null)", "INFINITE", "five sec", "sec"])
def test_invalid_numbers_of_seconds(value: str) -> None:
    assert text.seconds(value) is None


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("5", 300),
        ("1:30", 90),
        ("00:30", 30),
        ("00:00:10", 10),
        ("1:02:03", 3723),
        ("02:00:00", 7200),
        ("1-0", 86_400),
        ("1-2", 93_600),
        ("1-2:3", 93_780),
        ("1-2:3:4", 93_784),
        ("7-00:00:00", 604_800),
        ("0", None),
        ("-1", None),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("", None),
        ("5m", None),
    ],
)
def test_time_limits(limit: str, seconds: int | None) -> None:
    assert time_limit_seconds(limit) == seconds


@pytest.mark.parametrize(
    ("limit", "warning"),
    [(None, 60), (10, 5), (60, 5), (100, 5), (101, 6), (1800, 90), (2400, 120), (10**6, 120)],
)
def test_the_warning_comes_before_the_limit(limit: int | None, warning: int) -> None:
    assert warning_seconds(limit) == warning


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        # As scontrol hold and release of 22.05 print it.
        ("1_0-1: Job has already finished\n1_5: No error\n", True),
        (
            "Job has already finished for job 2\nslurm_suspend error: Job has already finished\n",
            True,
        ),
        ("99999_0-1: Invalid job id specified\n", True),
        ("1_5: No error\n1_4: Access/permission denied\n", False),
        ("slurm_suspend error: Unable to contact slurm controller (connect failure)\n", False),
        ("", False),
    ],
)
def test_holding_what_is_over_is_no_error(stderr: str, expected: bool) -> None:
    assert text.has_ended(stderr) is expected
