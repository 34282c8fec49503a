"""Queries to a Slurm: which answers are certain, and which queries are never made."""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.cluster import process
from hpcsweep.cluster.process import run
from hpcsweep.cluster.slurm import text
from hpcsweep.cluster.slurm.client import IDS_AT_ONCE, Slurm
from hpcsweep.cluster.slurm.environment import clean_environment, inherited_limits
from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.records import Part
from tests.support.arrays import array
from tests.support.transcripts import found, one
from tests.support.wait import wait_until


@pytest.fixture
def argvs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines of all queries; each answer is empty."""
    asked: list[list[str]] = []

    def answer(argv: list[str], *_: object) -> process.Answer:
        asked.append([Path(argv[0]).name, *argv[1:]])
        return process.Answer(0, "", "")

    monkeypatch.setattr(process, "run", answer)
    return asked


SLURM = Slurm(kind="slurm", timeout_s=5.0, sbatch_timeout_s=5.0)


def test_an_empty_list_of_jobs_makes_no_query(argvs: list[list[str]]) -> None:
    """`squeue -j ""` and `sacct -j ""` are no filter at all: everything (04-queries.txt)."""
    assert SLURM.poll_queue([]) == {}
    assert SLURM.poll_accounting([]) == []
    SLURM.cancel([])
    assert argvs == []


@given(st.integers(0, 2 * IDS_AT_ONCE + 1))
def test_every_query_names_its_jobs(count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        asked: list[str] = []

        def answer(argv: list[str], *_: object) -> process.Answer:
            asked.extend(argv[argv.index("-j") + 1].split(","))
            return process.Answer(0, "", "")

        patch.setattr(process, "run", answer)
        job_ids = [str(number) for number in range(count)]
        SLURM.poll_queue(job_ids)
        assert asked == job_ids
        SLURM.poll_accounting([(job_id, task) for job_id in job_ids for task in (0, 1)])
        assert asked == 2 * job_ids


@pytest.mark.parametrize(
    ("stderr", "rc"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1),
        ("slurm_load_jobs error: Socket timed out on send/recv operation", 1),
        ("squeue: error: something new", 1),
        ("", 127),
    ],
)
def test_a_failed_queue_query_is_not_an_answer(
    monkeypatch: pytest.MonkeyPatch, stderr: str, rc: int
) -> None:
    monkeypatch.setattr(process, "run", lambda *_: process.Answer(rc, "", stderr))
    with pytest.raises(ClusterUnavailable):
        SLURM.poll_queue(["5"])
    with pytest.raises(ClusterUnavailable):
        SLURM.poll_accounting([("5", 0)])
    with pytest.raises(ClusterUnavailable):
        SLURM.find_by_name("name", 0.0)


@pytest.mark.parametrize(
    ("rc", "stderr"),
    [
        (1, "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"),
        (1, "slurm_load_ctl_conf error: Socket timed out on send/recv operation"),
        (-9, ""),
    ],
)
def test_limits_are_not_assumed_after_a_failed_query(
    monkeypatch: pytest.MonkeyPatch, rc: int, stderr: str
) -> None:
    monkeypatch.setattr(process, "run", lambda *_: process.Answer(rc, "", stderr))
    with pytest.raises(ClusterUnavailable):
        SLURM.limits()


def test_a_client_without_a_cluster_hides_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "scontrol: error: fetch_config: DNS SRV lookup failed\n"
        "scontrol: fatal: Could not establish a configuration source"
    )
    monkeypatch.setattr(process, "run", lambda *_: process.Answer(1, "", said))
    with pytest.raises(ClusterUnavailable) as raised:
        SLURM.limits()
    assert "--cluster emulated" in str(raised.value)


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr"),
    [
        (1, "", "scontrol: error: Access/permission denied"),
        (1, "scontrol is for administrators", ""),
        (126, "", "bash: /usr/bin/scontrol: Permission denied"),
        (0, "", ""),
        (0, "MaxArraySize = many\nKillWait = long\n", ""),
    ],
)
def test_a_hidden_configuration_gives_slurms_defaults_with_a_notice(
    monkeypatch: pytest.MonkeyPatch, rc: int, stdout: str, stderr: str
) -> None:
    monkeypatch.setattr(process, "run", lambda *_: process.Answer(rc, stdout, stderr))
    found = SLURM.limits()
    assert (found.cluster_name, found.max_array_size, found.kill_wait_s) == ("", 1001, 30.0)
    (note,) = found.notes
    assert "MaxArraySize 1001" in note
    assert stderr.rpartition(": ")[2] in note


def test_a_cluster_without_scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="no scontrol on PATH"):
        SLURM.limits()  # no Slurm at all
    (tmp_path / "sbatch").touch(mode=0o755)
    (note,) = SLURM.limits().notes
    assert "there is no scontrol on PATH" in note


@pytest.mark.parametrize(("value", "size", "notes"), [("0", 0, 1), ("1", 1, 0), ("2", 2, 0)])
def test_arrays_that_are_off_or_tiny(
    monkeypatch: pytest.MonkeyPatch, value: str, size: int, notes: int
) -> None:
    stdout = f"ClusterName = c\nMaxArraySize            = {value}\nKillWait = 0 sec\n"
    monkeypatch.setattr(process, "run", lambda *_: process.Answer(0, stdout, ""))
    found = SLURM.limits()
    assert (found.cluster_name, found.max_array_size, found.kill_wait_s) == ("c", size, 0.0)
    assert len(found.notes) == notes


def test_a_forgotten_job_has_no_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    single, several = found("04-queries", r"^squeue (-h )?-j (99999999|2168,2169)$")
    for block in (single, several):
        answer = process.Answer(block.rc, block.text, "\n".join(block.err))
        monkeypatch.setattr(process, "run", lambda *_, answer=answer: answer)
        assert SLURM.poll_queue(["99999999"]) == {}
    assert (single.rc, several.rc) == (1, 0)


def test_accounting_that_is_away_and_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    away = one("04-dbd-down", r"^sacct -n -X -j 2395_1$")
    none = one("04-acct-none-minjobage", r"^sacct -n -P -X -j 16823")
    answer = process.Answer(away.rc, away.text, "\n".join(away.err))
    monkeypatch.setattr(process, "run", lambda *_: answer)
    with pytest.raises(ClusterUnavailable, match="Connection refused"):
        SLURM.poll_accounting([("5", 0)])
    answer = process.Answer(none.rc, none.text, "\n".join(none.err))
    assert SLURM.poll_accounting([("5", 0)]) is None


@pytest.mark.parametrize(
    ("stderr", "rc", "error"),
    [
        ("Batch job submission failed: Invalid partition name specified", 1, ClusterError),
        ("Batch job submission failed: Invalid job array specification", 1, ClusterError),
        # The same words before a signal say what was, not what is.
        ("Batch job submission failed: Invalid qos specification", -9, ClusterUnavailable),
        ("Batch job submission failed: Invalid partition name", 1, ClusterUnavailable),
        ("Batch job submission failed: Unspecified error", 1, ClusterUnavailable),
        ("Batch job submission failed: Zero Bytes were transmitted", 1, ClusterUnavailable),
    ],
)
def test_a_refusal_is_certain_and_a_timeout_is_not(
    monkeypatch: pytest.MonkeyPatch, stderr: str, rc: int, error: type[ClusterError]
) -> None:
    answer = process.Answer(rc, "", f"sbatch: error: {stderr}\n")
    monkeypatch.setattr(process, "run", lambda *_: answer)
    with pytest.raises(ClusterError, match="sbatch") as caught:
        SLURM.submit(array(Part(number=0, first_chunk=0, chunks=1)), lambda _: None)
    assert type(caught.value) is error
    assert stderr in str(caught.value)


QOS = "sbatch: error: Batch job submission failed: Invalid qos specification\n"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        # A wrapper that prints everything to standard output.
        ((1, QOS, ""), ClusterError, "Invalid qos"),
        # One that loses the exit code, as `sbatch … | tee log` does.
        ((0, "", QOS), ClusterError, "Invalid qos"),
        ((0, QOS, ""), ClusterError, "Invalid qos"),
        # One that tries another QOS then, and loses its exit code, too.
        ((1, "12\n", QOS), ClusterUnavailable, "Invalid qos"),
        ((0, "", f"{QOS}Submitted batch job 12\n"), ClusterUnavailable, "job 12"),
        ((1, "12\n13\n", QOS), ClusterUnavailable, "Invalid qos"),
        ((3, "12\n", "the hook failed\n"), ClusterUnavailable, "the hook failed"),
        ((1, "no project\n", ""), ClusterUnavailable, "no project"),
        ((0, "welcome\n", ""), ClusterUnavailable, "holds no job id"),
    ],
)
def test_what_wrappers_of_sbatch_make_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, str, str],
    error: type[ClusterError],
    words: str,
) -> None:
    def run(argv: list[str], *_: object) -> process.Answer:
        return process.Answer(*(answer if argv[0].endswith("sbatch") else (0, "", "")))

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(ClusterError, match=words) as caught:
        SLURM.submit(array(Part(number=0, first_chunk=0, chunks=1)), lambda _: None)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("chosen", "printed", "known", "is_elsewhere"),
    [
        ("", "12;big", "", True),
        ("", "Submitted batch job 12 on cluster big", "", True),
        ("", "12;own", "", False),
        ("big", "12;big", "", False),
        ("own,big", "12;big", "", False),
        ("Own, Big", "12;big", "", False),  # Slurm lowers names
        ("", "12;Own", "", False),
        ("own", "12;big", "", True),
        # The controller that is asked knows it: a wrapper printed a name of its own.
        ("", "12;machine3", "12", False),
        ("", "12;big", "11", True),
    ],
)
def test_an_array_that_a_site_sent_to_another_cluster_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, chosen: str, printed: str, known: str, *, is_elsewhere: bool
) -> None:
    asked = []
    part = array(Part(number=0, first_chunk=0, chunks=1))

    def run(argv: list[str], *_: object) -> process.Answer:
        asked.append([Path(argv[0]).name, *argv[1:]])
        out = {"sbatch": printed, "scontrol": "ClusterName = own\nMaxArraySize = 1001"}
        out["squeue"] = f"{known}|PENDING|{part.job_name}\n"
        return process.Answer(0, out.get(asked[-1][0], ""), "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setenv("SLURM_CLUSTERS", chosen)
    if not is_elsewhere:
        assert SLURM.submit(part, lambda _: None) == "12"
        return
    with pytest.raises(ClusterError, match="SLURM_CLUSTERS=big") as caught:
        SLURM.submit(part, lambda _: None)
    assert type(caught.value) is ClusterError
    assert asked[-1] == ["scancel", "--clusters=big", "12"]


def test_a_cluster_of_our_own_is_not_the_one_that_the_user_selects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "all")
    assert "SLURM_CLUSTERS" not in clean_environment({"SLURM_CONF": "/e/slurm.conf"}, frozenset())
    assert clean_environment({}, frozenset())["SLURM_CLUSTERS"] == "all"


def test_a_host_without_sacct_has_no_accounting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    (tmp_path / "squeue").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SLURM.poll_accounting([("5", 0)]) is None
    assert SLURM.find_by_name("s.1", 0.0) is None
    (tmp_path / "sacct").write_text("#!/bin/sh\n")  # there, but it cannot be run
    with pytest.raises(ClusterError):
        SLURM.poll_accounting([("5", 0)])


def test_programs_that_are_not_there_or_do_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="no squeue on PATH") as caught:
        SLURM.poll_queue(["5"])
    assert not caught.value.transient
    with pytest.raises(ClusterUnavailable, match=r"did not answer within 0\.01 s"):
        run(["/bin/sleep", "10"], {}, 0.01)


def test_an_answer_that_is_not_utf8() -> None:
    answer = run(["/bin/sh", "-c", "printf '5|1|RUN\\377'; printf 'a\\n\\nb' >&2; exit 3"], {}, 10)
    assert (answer.returncode, answer.stdout, answer.complaint) == (3, "5|1|RUN�", "a; b")


def test_variables_that_change_answers_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "SQUEUE_FORMAT",
        "SACCT_FORMAT",
        "SBATCH_ARRAY_INX",
        "SLURM_JOB_ID",
        "SLURM_RESTART_COUNT",
        "SLURM_TIME_FORMAT",
    ):
        monkeypatch.setenv(name, "x")
    for name in ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "HOME", "LC_ALL"):
        monkeypatch.setenv(name, "kept")
    for name in ("PMI_RANK", "PMIX_NAMESPACE", "OMPI_COMM_WORLD_RANK", "SRUN_CPUS_PER_TASK"):
        monkeypatch.setenv(name, "of the shell of `srun --pty`")
    for name in ("PMI_NO_FORK", "PMIX_MCA_gds", "OMPI_MCA_btl"):
        monkeypatch.setenv(name, "kept")
    seen = clean_environment({"EXTRA": "1"}, frozenset({"partition"}))
    theirs = {name for name in seen if name.startswith(("SLURM", "SBATCH", "SQUEUE", "SACCT"))}
    assert theirs == {"SLURM_CONF", "SBATCH_ACCOUNT", "SLURM_BITSTR_LEN"}
    assert "SLURM_JWT" not in seen
    mpi = {name for name in seen if name.startswith(("PMI", "OMPI"))}
    assert mpi == {"PMI_NO_FORK", "PMIX_MCA_gds", "OMPI_MCA_btl"}
    assert "SRUN_CPUS_PER_TASK" not in seen
    assert (seen["EXTRA"], seen["HOME"], seen["SLURM_BITSTR_LEN"]) == ("1", "kept", "0")


def test_a_token_of_the_login_shell_reaches_the_programs_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "squeue").write_text('#!/bin/sh\necho "5|0|$SLURM_JWT|"\n')
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JWT", "eyJh.secret")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    assert SLURM.poll_queue(["5"])["5", 0].state == "eyJh.secret"
    assert "secret" not in SLURM.address  # it is written into the sweep directory
    assert "/etc/slurm/slurm.conf" in SLURM.address


def test_queries_are_argument_lists_without_shell_text() -> None:
    part = Part(number=0, first_chunk=0, chunks=3, throttle=2)
    argvs = [
        text.sbatch(array(part, script="a;b", job_name="x $(y)", directory="d e")),
        text.squeue(["1", "2"]),
        text.squeue_by_name(["n"]),
        text.sacct(["1"]),
        text.sacct_by_name(["n"], "2026-01-01T00:00:00"),
        text.scancel(["1", "2_3"]),
        text.show_config(),
    ]
    for argv in argvs:
        assert shlex.split(shlex.join(argv)) == argv
    assert argvs[1][-1] == "1,2"
    assert "-r" in argvs[1]
    assert {"-X", "-n", "-P"} <= set(argvs[3])


# --- how a program is run ------------------------------------------------------------------------


def test_error_lines_arrive_while_the_program_runs(tmp_path: Path) -> None:
    heard: list[str] = []
    go = tmp_path / "go"

    def hear(line: str) -> None:
        heard.append(line)
        go.touch()

    script = f"echo waiting >&2; until [ -e {go} ]; do sleep 0.02; done; printf 'the end' >&2"
    answer = run(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, 30, hear)
    assert (heard, answer.stderr) == (["waiting"], "waiting\nthe end")


def test_a_long_silence_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "QUIET_S", 0.1)
    heard: list[str] = []
    run(["/bin/sh", "-c", "sleep 0.5; echo a >&2"], {"PATH": "/bin:/usr/bin"}, 30, heard.append)
    assert heard == ["", "a"]


def test_an_abandoned_program_leaves_no_process(tmp_path: Path) -> None:
    """A wrapper's sbatch would submit the array after hpcsweep has given up on it."""
    script = f"(echo $$ >{tmp_path}/pid; sleep 1000; echo sent >{tmp_path}/sent) & wait"
    with pytest.raises(ClusterUnavailable):
        run(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, 0.5)
    group = int((tmp_path / "pid").read_text())
    wait_until(lambda: not members(group) or str(members(group)), 60, "the end of all of them")


def members(group: int) -> list[str]:
    """The living processes of a process group."""
    found = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split() for line in found.splitlines())
    return [pid for pgid, state, pid in rows if int(pgid) == group and "Z" not in state]


def test_background_processes_of_a_wrapper_are_not_waited_for() -> None:
    script = "(sleep 1000 &) ; echo 17; echo no >&2"
    answer = run(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, 60)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "17\n", "no\n")


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (-40, "signal 40")])
def test_the_signal_that_ended_a_program_is_named(code: int, name: str) -> None:
    assert process.Answer(code, "", "a\nb\n").complaint == f"ended by {name}: a; b"


def test_the_end_of_a_long_message_is_shown() -> None:
    lines = [f"sbatch: error: banner {number}" for number in range(100)]
    said = process.Answer(1, "", "\n".join([*lines, "sbatch: error: the reason"])).complaint
    assert said.startswith("… ")
    assert said.endswith("; the reason")
    assert len(said) < 510


def test_defaults_of_a_user_that_do_not_reach_sbatch_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
    for name in ("SBATCH_TIMELIMIT", "SBATCH_MEM_PER_CPU", "SBATCH_CLUSTERS", "SBATCH_WCKEY"):
        monkeypatch.setenv(name, "2-0")
    time, cluster = SLURM.check_options({"mem": "4G"}, 0)
    assert time.startswith("SBATCH_TIMELIMIT=2-0 ")
    assert "`time` below `slurm:`" in time
    assert "set SLURM_CLUSTERS" in cluster
    assert clean_environment({}, frozenset())["SBATCH_WCKEY"] == "2-0"


@pytest.mark.parametrize(
    ("kinds", "exceptions", "named"),
    [
        ("ALL", "(null)", ["`ulimit -t`", "`ulimit -v`"]),
        ("NONE", "(null)", []),
        ("CORE,AS", "(null)", ["`ulimit -v`"]),
        ("(null)", "MEMLOCK,CPU", ["`ulimit -v`"]),
        ("(null)", "AS,CPU", []),
    ],
)
def test_limits_of_the_login_node_that_reach_the_tasks_are_named(
    kinds: str, exceptions: str, named: list[str]
) -> None:
    configuration = {
        "PropagateResourceLimits": kinds,
        "PropagateResourceLimitsExcept": exceptions,
    }
    notes = inherited_limits(["CPU", "AS"], configuration)
    assert [re.findall(r"`ulimit[^`]*`", note) for note in notes] == ([named] if named else [])
    assert inherited_limits(["CPU"], {}) == []  # users may not see the configuration


def test_limits_are_looked_for_unless_the_manifest_says_what_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'PropagateResourceLimits = ALL'\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    limits = {resource.RLIMIT_CPU: (1800, -1), resource.RLIMIT_AS: (-1, -1)}
    monkeypatch.setattr(resource, "getrlimit", lambda number: limits.get(number, (-1, -1)))
    (note,) = SLURM.check_options({}, 0)
    assert "limits its processes in processor time (`ulimit -t`), and" in note
    assert SLURM.check_options({"propagate": "NONE"}, 0) == []


@pytest.mark.parametrize(
    ("variable", "option", "is_replaced"),
    [
        ("SBATCH_TIMELIMIT", "time", True),
        ("SBATCH_TIMELIMIT", "time-min", False),
        ("SBATCH_MEM_PER_CPU", "mem-per-gpu", True),
        ("SBATCH_MEM_PER_CPU", "mem-bind", False),
        ("SBATCH_GRES", "gpus-per-socket", True),
        ("SBATCH_GPUS", "gres", True),
        ("SBATCH_GRES", "gres-flags", False),
        ("SBATCH_EXCLUSIVE", "exclusive", True),
        ("SBATCH_EXCLUSIVE", "oversubscribe", True),
    ],
)
def test_a_default_is_replaced_by_what_asks_for_the_same(
    monkeypatch: pytest.MonkeyPatch, variable: str, option: str, *, is_replaced: bool
) -> None:
    monkeypatch.setenv(variable, "2")
    assert (SLURM.check_options({option: "1"}, 0) == []) is is_replaced


PART = Part(number=0, first_chunk=0, chunks=2)


def fronted(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """Put scripts first on PATH; returns the file in which each notes its arguments."""
    calls = folder / "calls"
    for name, body in programs.items():
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{calls}\n{body}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return calls


def test_an_array_that_a_wrapper_sent_twice_is_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would run all cases, and `cancel` would find one of them."""
    one = array(part=PART)
    name = one.job_name
    queue = f"printf '1000|PENDING|{name}\\n999|RUNNING|{name}\\n7|PENDING|other\\n'"
    calls = fronted(
        tmp_path, monkeypatch, sbatch="echo 999; echo 1000", squeue=queue, scancel="", sacct=""
    )
    said: list[str] = []
    assert SLURM.submit(one, said.append) == "999"
    assert "999" in said[0]
    assert "job 1000 was cancelled" in said[1]
    assert calls.read_text().splitlines()[-1] == "scancel 1000"
    assert SLURM.find_by_name(one.job_name, 0.0) == "999"
    assert calls.read_text().splitlines()[-1] == "scancel 1000"


@pytest.mark.parametrize("program", ["squeue", "sacct"])
@pytest.mark.parametrize(
    ("states", "kept", "is_cancelled"),
    [
        (("CANCELLED", "RUNNING"), "1000", False),
        (("RUNNING", "CANCELLED"), "999", False),
        (("FAILED", "CANCELLED"), "1000", False),
        (("RUNNING", "RUNNING"), "999", True),
    ],
)
def test_an_array_that_is_over_is_not_kept_for_one_that_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    states: tuple[str, str],
    kept: str,
    *,
    is_cancelled: bool,
) -> None:
    """The one that ran was cancelled, and its cases ended with it."""
    first, second = states
    answer = f"printf '999|{first}|s.1\\n1000|{second}|s.1\\n'"
    programs = {"squeue": "", "sacct": "", "scancel": "", program: answer}
    calls = fronted(tmp_path, monkeypatch, **programs)
    assert SLURM.find_by_name("s.1", 0.0) == kept
    assert ("scancel 1000" in calls.read_text().splitlines()) is is_cancelled
    assert "scancel 999" not in calls.read_text()


@pytest.mark.parametrize(
    "complaint",
    ["sbatch: unrecognized option '--parsable'", "error: unrecognized arguments: --parsable"],
)
def test_a_wrapper_that_does_not_know_parsable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str
) -> None:
    body = f'[ "$1" != --parsable ] || {{ echo "{complaint}" >&2; exit 1; }}'
    body += "; echo Submitted batch job 77"
    calls = fronted(tmp_path, monkeypatch, sbatch=body)
    assert SLURM.submit(array(part=PART), print) == "77"
    assert len(calls.read_text().splitlines()) == 2


def test_a_command_line_in_an_error_is_no_such_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The array may have been accepted: it is never sent a second time."""
    body = 'echo "failed: sbatch --parsable a.sh: invalid answer" >&2; exit 1'
    calls = fronted(tmp_path, monkeypatch, sbatch=body, squeue="", sacct="")
    with pytest.raises(ClusterUnavailable):
        SLURM.submit(array(part=PART), print)
    assert calls.read_text().count("sbatch --parsable") == 1
