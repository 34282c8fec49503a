"""PBS: what its programs are told, and what the answers of a real OpenPBS mean."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

import pytest

from hpcsweep.cluster import process, reasons, states
from hpcsweep.cluster.jobs import OwnJob, SingleJob
from hpcsweep.cluster.pbs import refusals, site, text
from hpcsweep.cluster.pbs.client import Pbs
from hpcsweep.cluster.pbs.environment import handed_on
from hpcsweep.cluster.pbs.options import SCRIPTS, qsub_options
from hpcsweep.cluster.pbs.queued_limits import queued_limits
from hpcsweep.cluster.pbs.states import ended_state
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError
from hpcsweep.executor.submitit_calls import JobEnvironment
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Part
from tests.support.arrays import array
from tests.support.transcripts import PBS, Block, blocks, one

CLIENT = Pbs(kind="pbs", timeout_s=5.0, qsub_timeout_s=5.0)


def said(name: str, pattern: str, number: int = 0) -> Block:
    return one(name, pattern, number, PBS)


def answer(block: Block) -> process.Answer:
    return process.Answer(block.rc, block.text, "\n".join(block.err))


def ids(block: Block) -> list[str]:
    """The job ids that a command names."""
    return re.findall(r"\d+(?:\[\])?\.pbs1", block.command)


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "-l select=1:ncpus=1"),
        (
            {"time": "1-02:03:04", "cpus-per-task": "4", "mem": "8G"},
            "-l select=1:ncpus=4:mem=8192mb -l walltime=93784",
        ),
        ({"ntasks": "2", "cpus-per-task": "3"}, "-l select=1:ncpus=6"),
        ({"cpus-per-task": "2", "mem-per-cpu": "100M"}, "-l select=1:ncpus=2:mem=200mb"),
        ({"gres": "gpu:2"}, "-l select=1:ncpus=1:ngpus=2"),
        ({"exclusive": "", "nodes": "1"}, "-l select=1:ncpus=1 -l place=pack:excl"),
        ({"partition": "workq", "account": "phys-1"}, "-l select=1:ncpus=1 -A phys-1 -q workq"),
        (
            {"select": "ngpus=1:model=a100", "project": "ab12", "storage": "scratch/ab12+gdata/x"},
            "-l select=1:ncpus=1:ngpus=1:model=a100 -P ab12 -l storage=scratch/ab12+gdata/x",
        ),
        (
            {"mail-user": "me@a.org", "mail-type": "END,FAIL"},
            "-l select=1:ncpus=1 -m ea -M me@a.org",
        ),
    ],
)
def test_the_keys_of_slurm_in_the_words_of_qsub(options: dict[str, str], expected: str) -> None:
    assert shlex.join(qsub_options(options)) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("qos", "high"),
        ("constraint", "a100"),
        ("nodes", "2"),
        ("gres", "gpu:a100:1"),
        ("partition", "a b"),
        ("account", "x,y"),
        ("mail-type", "SOMETIMES"),
        ("reservation", "r1"),
        ("exclusive", "user"),
    ],
)
def test_what_pbs_does_not_have_is_named(option: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"slurm\.{option}") as caught:
        CLIENT.check_options({"time": "1", option: value}, 0)
    assert caught.value.next_step


@pytest.mark.parametrize("options", [{"storage": "a\nrm -rf x"}, {"a\nb": "1"}, {"a b": "1"}])
def test_no_option_starts_another_line_of_the_script(options: dict[str, str]) -> None:
    """Also one of a frozen manifest that somebody else may write."""
    with pytest.raises(InputError, match="cannot be written for qsub"):
        SCRIPTS.directives(options)


@pytest.mark.parametrize(
    ("part", "elements"),
    [
        (Part(number=0, first_chunk=0, chunks=1), "0-1:2"),
        (Part(number=0, first_chunk=0, chunks=3), "0-2"),
        (Part(number=0, first_chunk=0, chunks=3, throttle=2), "0-2%2"),
    ],
)
def test_an_array_of_one_element_has_a_step_beyond_its_end(part: Part, elements: str) -> None:
    argv = text.qsub(array(part, script="/s/array.sbatch"), {"PATH": "/bin", "LANG": "C"})
    assert argv[argv.index("-J") + 1] == elements
    assert argv[argv.index("-v") + 1] == "LANG,PATH"
    assert argv[-4:] == ["--", "/bin/bash", "/s/array.sbatch", "0"]


def test_no_secret_is_handed_on() -> None:
    """Anybody may read the variables of a job (qsub.txt)."""
    assert said("qsub", r"grep SECRET").out
    environment = {
        "PATH": "/bin",
        "SECRET": "xyz",
        "HPCSWEEP_GRACE_S": "1",
        "HPCSWEEP_STORE": "postgresql://me:hunter2@host/db",
        "SLURM_JOB_ID": "1",
        "HPCSWEEP_OUTPUTS": "it's",  # qsub refuses a quote
    }
    assert handed_on(environment) == {"PATH": "/bin", "HPCSWEEP_GRACE_S": "1"}


# --- qsub -----------------------------------------------------------------------------------------


def test_job_ids() -> None:
    accepted = [b for b in blocks("qsub", PBS) if b.rc == 0 and re.match(r"qsub .*-N", b.command)]
    assert [text.job_id(block.text)[-6:] for block in accepted] == ["].pbs1"] * 2 + ["5.pbs1"]
    with pytest.raises(ClusterUnavailable, match="no job id"):
        text.job_id("welcome\n")


def test_each_refusal_is_certain_and_a_server_that_is_down_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for block in blocks("qsub", PBS):
        if block.rc == 0 or not block.command.startswith("qsub"):
            continue
        monkeypatch.setattr(process, "run", lambda *_, block=block: answer(block))
        is_down = "cannot connect" in block.err[-1]
        with pytest.raises(ClusterError) as caught:
            CLIENT.submit(array(Part(number=0, first_chunk=0, chunks=2)), lambda _: None)
        assert isinstance(caught.value, ClusterUnavailable) is is_down, block.command
        if not is_down:
            assert "usage" not in caught.value.what
            assert caught.value.next_step
        assert caught.value.transient is is_down or "would exceed" in block.err[0]


def test_an_older_pbs_without_throttles_is_named() -> None:
    assert "--throttle" in refusals.next_step(said("qsub", r"-J 0-0 ").err[0])


def test_a_full_queue_may_have_room_later() -> None:
    complaint = said("qsub", r"-J 0-9 ").err[0]
    assert refusals.NO_ROOM.search(complaint)
    assert "chunk" in refusals.next_step(complaint)


# --- the queue ------------------------------------------------------------------------------------


def test_the_states_of_elements_and_why_they_wait() -> None:
    first = said("queue", r"qstat -f \d+\S+ \d+\S+ \d")
    running, never, behind, closing = ids(first)
    queue = text.queue(first.text, said("queue", r"qstat -t").text)
    assert {n: queue[running, n].state for n in range(7)} == {
        0: "COMPLETED",
        **dict.fromkeys((1, 2), "RUNNING"),
        **dict.fromkeys((3, 6), "PENDING"),
        **dict.fromkeys((4, 5), "COMPLETED"),
    }
    assert queue[never, 1].reason.startswith("CanNeverRun: Insufficient amount of resource: mem")
    assert queue[behind, 0].reason.startswith("NotRunning: Insufficient amount of resource: ncpus")
    assert queue[closing, 0] == ("PENDING", "Dependency", None)
    assert [reasons.passes(queue[key].reason) for key in ((never, 0), (behind, 0))] == [False, True]
    assert "never start" in reasons.meaning(queue[never, 0].reason)
    assert all(states.meaning(queued.state) != states.UNKNOWN for queued in queue.values())


def test_a_held_array_holds_its_queued_elements() -> None:
    held = said("queue", r"qstat -f \d+\[\]\S+$")
    (name,) = ids(held)
    queue = text.queue(held.text, said("queue", r"qstat -t", 1).text)
    assert queue[name, 3].reason == "UserHold"
    assert reasons.is_hold(queue[name, 3].reason)
    assert queue[name, 1].reason == ""


def test_the_queued_elements_of_an_array() -> None:
    block = said("queue", r"qstat -t")
    number = ids(block)[0].partition("[")[0]
    assert text.pending(block.text)[number] == IndexSet([(3, 4), (6, 7)])


@pytest.mark.parametrize(
    "pattern", [r"999999.pbs1$", r"qdel 999999", r"^qdel \d+\[\]\S+$", r"-f \d+\[\]\S+ 999999"]
)
def test_a_job_that_is_over_is_no_error(pattern: str) -> None:
    block = said("queue", pattern)
    assert block.rc != 0
    assert text.is_gone("\n".join(block.err))


@pytest.mark.parametrize("pattern", ["qrerun", r"qdel \d+\[4,5\]", r"qhold \d+\[3\]"])
def test_other_complaints_are_errors(pattern: str) -> None:
    block = said("queue", pattern)
    assert block.rc != 0
    assert not text.is_gone("\n".join(block.err))


def test_our_names_of_elements_are_one_word_of_pbs_for_each_range() -> None:
    assert list(text.targets(["12[].s_[0-4,7]", "13.s"])) == ["12[0-4].s", "12[7].s", "13.s"]
    assert text.array_of("12[].s_[0-4,7]") == "12[].s"
    assert text.elements_named("12[].s", IndexSet([(0, 5), (7, 8)])) == "12[].s_[0-4,7]"


def test_no_query_asks_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "run", lambda *_: pytest.fail("a query"))
    assert CLIENT.poll_queue([]) == {}
    assert CLIENT.poll_accounting([]) == []
    CLIENT.cancel([])
    CLIENT.cancel_pending([])


def test_what_a_killed_qstat_did_not_print_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It complains of one job, and is killed before it prints the others."""
    killed = process.Answer(-9, "", "qstat: Unknown Job Id 1[].s\n")
    monkeypatch.setattr(process, "run", lambda *_: killed)
    for query in (CLIENT.poll_queue, CLIENT.cancel):
        with pytest.raises(ClusterUnavailable):
            query(["1[].s", "2[].s"])
    with pytest.raises(ClusterUnavailable):
        CLIENT.poll_accounting([("1[].s", 0), ("2[].s", 0)])


def test_a_closing_job_that_is_accepted_keeps_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the server deleted it at once cannot be asked: a second one would be one too many."""
    down = process.Answer(255, "", "Connection refused\nqstat: cannot connect to server s\n")
    answers = iter((process.Answer(0, "Job Id: 1[].s\n", ""), process.Answer(0, "2.s\n", ""), down))
    monkeypatch.setattr(process, "run", lambda *_: next(answers))
    closing = SingleJob(name="c", script="c.sh", output="c.log", options={}, after="1[].s")
    assert CLIENT.submit_job(closing) == "2.s"
    assert next(answers, None) is None


def test_a_row_that_cannot_be_read_is_no_element_that_ended() -> None:
    with pytest.raises(ClusterUnavailable, match="no row of an element"):
        text.pending("123456789[1234567 name me 0 R workq\n")
    with pytest.raises(ClusterUnavailable, match="names no server"):
        site.limits_in("welcome\n")


def test_a_value_may_be_folded_and_hold_anything() -> None:
    printed = "Job Id: 1.s\n    Variable_List = A=x,B=new\nline,\n\tC = 1\n    comment = a\n\t b\n"
    assert text.objects(printed) == {"1.s": {"Variable_List": "A=x,B=newC = 1", "comment": "a b"}}


# --- how they ended -------------------------------------------------------------------------------


def test_how_elements_ended() -> None:
    ended = said("history", r"qstat -x .* \d+\S+ \d")
    array_id, other = ids(ended)
    rows = {(row.job_id, row.tasks[0]): row.state for row in text.history(ended.text)}
    assert rows == {
        (array_id, 0): "COMPLETED",
        (array_id, 1): "FAILED",
        (array_id, 2): "TIMEOUT",
        (array_id, 3): "CANCELLED",
        (array_id, 4): "TIMEOUT",
        (other, 0): "CANCELLED",
    }


def test_elements_of_an_array_that_goes_on_are_rows_when_they_are_over() -> None:
    during = said("history", r"qstat -x")
    over = {row.tasks[0] for row in text.history(during.text)}
    assert {0, 1} <= over
    assert 2 not in over


def test_a_server_without_history_has_no_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    block = said("history", r"qstat -x", 2)
    monkeypatch.setattr(process, "run", lambda *_: answer(block))
    assert CLIENT.poll_accounting([(name, 0) for name in ids(block)]) is None


def test_the_history_is_asked_about_the_elements_that_are_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It prints 2 kB for each: of an array of 10,000 that is 20 MB."""
    argvs: list[list[str]] = []

    def run(argv: list[str], *_: object) -> process.Answer:
        argvs.append(argv)
        return process.Answer(0, "", "")

    monkeypatch.setattr(process, "run", run)
    CLIENT.poll_accounting([("12[].s", 3), ("12[].s", 9), ("12[].s", 4), ("13.s", 0)])
    assert argvs == [["qstat", "-x", "-f", "12[3-4].s", "12[9].s", "13.s"]]


def test_memory_that_ran_out() -> None:
    job = {"job_state": "F", "substate": "93", "Exit_status": "-27"}
    job["comment"] = "Job run at Mon Nov 30 at 01:30 on (pbs1:ncpus=1) and exceeded resource mem"
    assert ended_state(job) == "OUT_OF_MEMORY"


# --- the site -------------------------------------------------------------------------------------


def test_the_limits_of_server_and_queue() -> None:
    limits = site.limits_in(said("qsub", r"qstat -B -f").text)
    assert (limits.cluster_name, limits.max_array_size) == ("pbs1", 10_001)
    queue = site.queue_in(said("qsub", r"qstat -Q").text)
    limits = site.with_queue(limits, "workq", queue, {})
    assert limits.caps == {"time": 36_000}
    assert limits.requeues is None
    assert limits.time_step_s == 1
    assert (limits.runs_jobs, limits.runs_nodes) == (True, False)


def test_a_queue_that_could_not_be_asked_about_is_no_queue_without_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = site.limits_in(said("qsub", r"qstat -B -f").text)
    refused = process.Answer(170, "", "qstat: Unknown queue nowhere\n")
    monkeypatch.setattr(process, "run", lambda *_: refused)
    assert CLIENT.with_room(limits, {"partition": "nowhere"}).caps == {}  # qsub says so, too
    down = process.Answer(255, "", "Connection refused\nqstat: cannot connect to server s\n")
    for answer_of_qstat in (down, process.Answer(-9, "", "")):
        monkeypatch.setattr(process, "run", lambda *_, it=answer_of_qstat: it)
        with pytest.raises(ClusterUnavailable):
            CLIENT.with_room(limits, {})


@pytest.mark.parametrize(
    ("queue", "server", "expected"),
    [
        ({"resources_default.walltime": "00:10:00"}, {"resources_max.walltime": "60"}, 600),
        ({"resources_max.walltime": "02:00:00"}, {"resources_default.walltime": "00:05:00"}, 300),
        ({"resources_max.walltime": "02:00:00"}, {}, 7200),
        ({}, {"resources_max.walltime": "60"}, 60),
        ({}, {}, None),
        ({"queue_type": "Route", "resources_default.walltime": "60"}, {}, None),
    ],
)
def test_the_time_limit_of_a_task_that_names_none(
    queue: dict[str, str], server: dict[str, str], expected: int | None
) -> None:
    limits = replace(site.limits_in("Server: s\n    server_host = s\n"), configuration=server)
    assert site.with_queue(limits, "q", queue, {}).default_time_s == expected


def test_the_queue_limits_before_the_server() -> None:
    server = {"resources_max.walltime": "60", "resources_max.ncpus": "8", "max_array_size": "50"}
    limits = replace(site.limits_in("Server: s\n    server_host = s\n"), configuration=server)
    queue = {"resources_max.walltime": "100", "resources_min.walltime": "30", "max_array_size": "9"}
    limits = site.with_queue(limits, "q", queue, {"time": "00:00:20"})
    assert {one.name: one.most for one in limits.ceilings} == {
        "resources_max.walltime of the queue q": 100,
        "resources_max.ncpus of the server": 8,
    }
    assert limits.max_array_size == 10
    (short,) = limits.impossible
    assert short.option == "time"
    assert "00:00:30 or more (resources_min.walltime)" in short.what


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[u:PBS_GENERIC=10]", {"user": 10}),
        ("[u:PBS_GENERIC=10],[u:me=30],[u:you=1]", {"user": 30}),
        ("[u:me=3],[u:PBS_GENERIC=10]", {"user": 3}),
        ('[o:PBS_ALL=100],[ p:"a b" = 5 ],[p:PBS_GENERIC=9]', {"all": 100, "project": 5}),
        ("[g:one=5],[g:PBS_GENERIC=4]", {"group": 4}),
        ("[u:you=1]", {}),
        ("", {}),
    ],
)
def test_limits_on_queued_jobs(text: str, expected: dict[str, int]) -> None:
    found = list(queued_limits({"max_queued": text}, "q", "me", "a b"))
    assert {limit.counts: limit.most for limit in found} == expected


def test_the_limits_on_queued_jobs_of_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 that may wait in the queue 2 do; the user has 6 of 30, all have 6 of 1000."""
    monkeypatch.setattr(getpass, "getuser", lambda: "me")

    def run(argv: list[str], *_: object) -> process.Answer:
        return answer(said("limits", f"^{re.escape(shlex.join(argv))}$"))

    monkeypatch.setattr(process, "run", run)
    limits = CLIENT.with_room(CLIENT.limits(), {"time": "3"})
    assert (limits.max_jobs, limits.jobs) == (20, 2)
    assert limits.max_array_size == 101
    assert limits.default_time_s == 1800
    assert limits.unread == ("how many jobs count for max_queued of the server for a group",)
    server = queued_limits(limits.configuration, "", "me", "")
    assert sorted((limit.counts, limit.most) for limit in server) == [
        ("all", 1000),
        ("group", 200),
        ("project", 60),
        ("user", 30),
    ]
    assert refusals.NO_ROOM.search(said("limits", "-J 0-22").err[0])


def test_the_limit_that_leaves_the_least_room_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs and elements of arrays count; whom a limit of groups counts is not known."""
    me = getpass.getuser()
    server = "Server: s\n    server_host = s\n    default_queue = q\n    max_queued = "
    server += f"[u:{me}=100],[o:PBS_ALL=1000],[g:PBS_GENERIC=7]\n"
    queue = "Queue: q\n    queued_jobs_threshold = [u:PBS_GENERIC=4]\n"
    ids = {"all": "1[].s\n1[0].s\n1[1].s\n2.s\n", "queue": "1[].s\n1[1].s\n"}

    def run(argv: list[str], *_: object) -> process.Answer:
        if argv[0] == "qselect":
            assert "-T" in argv
            return process.Answer(0, ids["queue" if "-q" in argv else "all"], "")
        return process.Answer(0, queue if "-Q" in argv else server, "")

    monkeypatch.setattr(process, "run", run)
    limits = CLIENT.with_room(CLIENT.limits(), {})
    assert (limits.max_jobs, limits.jobs, limits.room) == (4, 1, 3)
    assert limits.max_jobs_name == "queued_jobs_threshold of the queue q for a user"
    assert limits.unread == ("how many jobs count for max_queued of the server for a group",)
    own = CLIENT.with_room(CLIENT.limits(), {}, {"max_submit": 5})
    assert (own.max_jobs, own.jobs) == (5, 3)


def test_a_closing_job_whose_array_is_forgotten_meanwhile_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argvs: list[list[str]] = []
    known = process.Answer(0, "Job Id: 12[].s\n    job_state = B\n", "")

    def run(argv: list[str], *_: object) -> process.Answer:
        argvs.append(argv)
        if argv[0] == "qsub":
            return process.Answer(0, f"{len(argvs)}.s\n", "")
        return known if "12[].s" in argv else answer(said("queue", r"-f 999999"))

    monkeypatch.setattr(process, "run", run)
    job = SingleJob(name="n", script="/s", output="/o", after="12[].s")
    assert CLIENT.submit_job(job) == "4.s"
    assert ["-W" in argv for argv in argvs if argv[0] == "qsub"] == [True, False]


def test_a_job_that_runs_again_is_submitted_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows how often it ran, and what it submits itself does not."""
    sent: list[tuple[list[str], Mapping[str, str]]] = []

    def run(argv: list[str], environment: Mapping[str, str], _: float) -> process.Answer:
        sent.append((argv, environment))
        return process.Answer(0, "9.s\n", "")

    monkeypatch.setattr(process, "run", run)
    job = SingleJob(name="n", script="/s", output="/o")
    assert CLIENT.run_again(OwnJob("7.s", "n", 2), job) == "9.s"
    ((argv, environment),) = sent
    assert re.fullmatch(r"\d{12}\.\d\d", argv[argv.index("-a") + 1])
    assert "PBS_HPCSWEEP_RUNS" in argv[argv.index("-v") + 1].split(",")
    assert environment["PBS_HPCSWEEP_RUNS"] == "3"
    monkeypatch.setenv("PBS_JOBID", "9.s")
    monkeypatch.setenv("PBS_HPCSWEEP_RUNS", "3")
    own = CLIENT.own_job()
    assert own is not None
    assert own.restarts == 3
    CLIENT.submit_job(job)
    assert "PBS_HPCSWEEP_RUNS" not in sent[-1][0][sent[-1][0].index("-v") + 1]


def test_a_closing_job_of_a_forgotten_array_has_no_dependency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server would delete it (23.06)."""
    argvs: list[list[str]] = []
    unknown = answer(said("queue", r"-f 999999"))

    def run(argv: list[str], *_: object) -> process.Answer:
        argvs.append(argv)
        return unknown if argv[0] == "qstat" else process.Answer(0, "8.s\n", "")

    monkeypatch.setattr(process, "run", run)
    job = SingleJob(name="n", script="/s", output="/o", after="999999[].pbs1")
    assert CLIENT.submit_job(job) == "8.s"
    assert "-W" not in argvs[-1]


def test_the_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PBS_JOBID", raising=False)
    assert CLIENT.own_job() is None
    monkeypatch.setenv("PBS_JOBID", "7.pbs1")
    monkeypatch.setenv("PBS_JOBNAME", "s.abc.1.0.closing")
    assert CLIENT.own_job() == ("7.pbs1", "s.abc.1.0.closing", 0)


# --- in a task ------------------------------------------------------------------------------------


def test_a_call_of_an_executor_knows_its_array_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    monkeypatch.setenv("PBS_ARRAY_ID", "12[].pbs1")
    monkeypatch.setenv("PBS_ARRAY_INDEX", "3")
    assert JobEnvironment().job_id == "12[].pbs1_3"
