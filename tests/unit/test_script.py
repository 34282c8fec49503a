"""The batch script: its content, and texts that never become a part of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcsweep.cluster.pbs.options import SCRIPTS as PBS_SCRIPTS
from hpcsweep.cluster.slurm.text import SCRIPTS
from hpcsweep.emulator.programs import job_options
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, SetupLine, Target, sealed
from hpcsweep.records import Resources
from hpcsweep.sources import manual
from hpcsweep.submission.arrays import script_for
from hpcsweep.submission.closing import closing_script
from hpcsweep.submission.script import Script
from hpcsweep.sweepdir.parts import make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from hpcsweep.worker.interpreter import Interpreter
from hpcsweep.worker.launcher import Launcher, template_directory
from hpcsweep.worker.start import Start
from tests.support.wait import wait_until

HOSTILE = [
    "plain",
    "with space",
    "it's",
    'quo"te',
    "$(touch canary)",
    "`touch canary`",
    "${HOME}",
    "a;touch canary",
    "a&&touch canary",
    "%j%A",
    "*?[x]",
    "~",
    "-option",
    "#SBATCH --mem=1",
    "{{ 7*7 }}",
    "{% raw %}",
    "ünïcödé",
    "!bang",
]


def render(
    *, setup: tuple[SetupLine, ...] = (), python: str = "/usr/bin/python3", **fields: Any
) -> str:
    launcher = Launcher(setup=setup, interpreter=Interpreter(own=python), root=Path("/"))
    values: dict[str, Any] = {"form": SCRIPTS, "sweep_name": "s", "options": {}}
    values |= {"sweep_dir": "/scratch/s"}
    return Script(**(values | {"submission": 1} | fields), launcher=launcher).render()


def lines(*texts: str) -> tuple[SetupLine, ...]:
    return tuple(
        SetupLine(text=text, where=f"m.yaml:{number}") for number, text in enumerate(texts)
    )


def check_syntax(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), script


class Recorder:
    """A program in the place of Python that writes down how it was called.

    `variable`: the one of its environment that it writes down, too.
    """

    def __init__(self, directory: Path, variable: str = "MARK") -> None:
        self.directory = directory
        self.path = directory / "py thon$(x)"
        self.calls = directory / "calls"
        self.path.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            f"with open({str(self.calls)!r}, 'a') as f:\n"
            f"    seen = [sys.argv[1:], os.environ.get({variable!r}), os.getpid()]\n"
            "    f.write(json.dumps(seen) + '\\n')\n"
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def run(
        self, script: str, *, part: str = "3", **environment: str
    ) -> tuple[int, list[Any], int]:
        """Exit code of the script, what the program was called with, and the script's pid."""
        path = self.directory / "script"
        path.write_text(script)
        process = subprocess.Popen(
            ["bash", str(path), part],
            cwd=self.directory,
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.communicate(timeout=30)
        called = self.calls.read_text().splitlines() if self.calls.exists() else []
        return process.returncode, [json.loads(line) for line in called], process.pid


# --- what it says --------------------------------------------------------------------------------


def test_every_script_requests_requeue_and_a_warning_signal() -> None:
    script = render(options={"time": "00:30:00", "exclusive": "", "mem": "2G"})
    directives = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert directives == [
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:USR2@90",
        "#SBATCH --exclusive",
        "#SBATCH --mem=2G",
        "#SBATCH --time=00:30:00",
    ]


def test_a_script_of_tasks_that_are_not_requeued() -> None:
    script = render(requeue=False)
    assert [line for line in script.splitlines() if "requeue" in line] == ["#SBATCH --no-requeue"]


def test_a_task_of_pbs_says_what_slurm_says_by_variables(tmp_path: Path) -> None:
    """Its output goes to a file of its own at once; its CPUs are no threads of each case."""
    recorder, logs = Recorder(tmp_path, variable="OMP_NUM_THREADS"), tmp_path / "logs/0001"
    logs.mkdir(parents=True)
    script = render(
        form=PBS_SCRIPTS,
        python=str(recorder.path),
        sweep_dir=str(tmp_path),
        options={"mem": "2G", "cpus-per-task": "4"},
        setup=lines("echo set up"),
    )
    assert "#SBATCH" not in script
    variables = {"PBS_JOBID": "7[2].pbs1", "PBS_ARRAY_ID": "7[].pbs1", "PBS_ARRAY_INDEX": "2"}
    variables |= {"NCPUS": "4", "OMP_NUM_THREADS": "4"}
    code, ((argv, threads, _),), _ = recorder.run(script, part="3", **variables)
    assert (code, threads) == (0, None)
    at = argv.index("--start")
    assert argv[at - 1] == "3"
    start = Start(**json.loads(argv[at + 1]))
    assert (start.array_task_id, start.array_job_id, start.job_id) == (2, "7[].pbs1", "7[2].pbs1")
    assert (start.cpus, start.mem_bytes, start.is_warned) == (4, 2 << 30, False)
    assert (logs / "3.7_2.log").read_text() == "set up\n"


def test_an_expedited_requeue_takes_the_place_of_the_plain_one() -> None:
    script = render(options={"requeue": "expedite"})
    asked = [line for line in script.splitlines() if "requeue" in line]
    assert asked == ["#SBATCH --requeue=expedite"]


def test_a_token_of_the_login_shell_does_not_reach_a_task(tmp_path: Path) -> None:
    """Neither the setup lines nor the worker: a task would hand an expired one to srun."""
    recorder = Recorder(tmp_path)
    script = render(python=str(recorder.path), setup=lines('export MARK="${SLURM_JWT-none}"'))
    code, ((_, mark, _),), _ = recorder.run(script, SLURM_JWT="eyJh.secret")
    assert (code, mark) == (0, "none")


def test_srun_hands_on_the_environment_of_a_case(tmp_path: Path) -> None:
    """Also where the site has sbatch hand on nothing."""
    recorder = Recorder(tmp_path)
    mark = 'export MARK="${SLURM_EXPORT_ENV-all}"'
    script = render(python=str(recorder.path), setup=lines(mark))
    code, ((_, mark, _),), _ = recorder.run(script, SLURM_EXPORT_ENV="NONE")
    assert (code, mark) == (0, "all")


def test_workers_of_whole_nodes_are_no_ranks_of_mpi() -> None:
    script = render(nodes=2, path="/sweep/array.sbatch")
    starts = [line for line in script.splitlines() if line.lstrip().startswith("srun --nodes=2")]
    assert starts
    assert all("--mpi=none" in line.split() for line in starts)


def test_a_token_of_the_login_shell_does_not_reach_a_closing_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, variable="SLURM_JWT")
    monkeypatch.setattr(sys, "executable", str(recorder.path))
    manifest = FrozenManifest(
        name="s",
        root="/home/me",
        target=Target(argv=("prog",)),
        source=manual([{"x": 1}]).to_manifest_dict(),
    )
    script = closing_script(sealed(manifest), tmp_path, 1, SCRIPTS)
    code, ((argv, token, _),), _ = recorder.run(script, SLURM_JWT="eyJh.secret")
    assert (code, argv[:4], token) == (0, ["-P", "-m", "hpcsweep", "advance"], None)


def test_directives_come_before_any_command() -> None:
    """sbatch reads them up to the first line that is a command (22.05)."""
    script = render(options={"mem": "2G"}, setup=lines("echo #SBATCH --mem=9G"))
    body = script.splitlines()
    assert body[0] == "#!/bin/bash"
    first = next(n for n, line in enumerate(body) if line and not line.startswith("#"))
    assert all(not line.startswith("#SBATCH") for line in body[first:])


def test_the_worker_takes_the_place_of_the_shell(tmp_path: Path) -> None:
    """So that TERM and USR2, sent to the batch shell, reach it."""
    recorder = Recorder(tmp_path)
    code, calls, pid = recorder.run(render(python=str(recorder.path), submission=7))
    assert code == 0
    ((argv, _, worker),) = calls
    assert argv[-5:] == ["-m", "hpcsweep.worker", "/scratch/s", "7", "3"]
    assert worker == pid


def test_setup_lines_stand_as_they_were_written() -> None:
    texts = ["module load gcc/12 # {{ not ours }}", "  export A='b  c'", 'X="$(date)"; {% x %}']
    script = render(setup=lines(*texts))
    for text in texts:
        assert f"\n{text}\n" in script
    check_syntax(script)


def test_setup_lines_run_before_the_worker(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    script = render(python=str(recorder.path), setup=lines("MARK=1", "export MARK=$((MARK+1))"))
    code, ((_, mark, _),), _ = recorder.run(script)
    assert (code, mark) == (0, "2")


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        ("false", 1),
        ("exit 7", 7),
        ("nosuchprogram", 127),
        ("true | false", 1),
        ("cd /nonexistent", 1),
        ("set -u; echo $UNSET", 1),
        ("f() { return 9; }; f", 9),
        ("sh -c 'kill -SEGV $$'", 139),
    ],
)
def test_a_failing_setup_line_is_reported_to_the_worker(
    tmp_path: Path, text: str, exit_code: int
) -> None:
    recorder = Recorder(tmp_path)
    script = render(python=str(recorder.path), setup=lines("MARK=1", text, "touch later"))
    _, calls, _ = recorder.run(script)
    ((argv, _, _),) = calls
    assert argv[-4:] == ["3", "--setup-failed", "m.yaml:1", str(exit_code)]
    assert not (tmp_path / "later").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_during_setup_is_no_failure_of_it(tmp_path: Path, number: signal.Signals) -> None:
    """A task that is cancelled while it loads modules is interrupted; none of its cases failed."""
    recorder = Recorder(tmp_path)
    path = tmp_path / "script"
    path.write_text(
        render(
            python=str(recorder.path),
            setup=lines("touch begun", "while [ ! -e over ]; do sleep 0.05; done", "touch later"),
        )
    )
    with subprocess.Popen(["bash", str(path), "0"], cwd=tmp_path) as process:
        wait_until((tmp_path / "begun").exists, 60, "the setup began")
        process.send_signal(number)
        (tmp_path / "over").touch()
        assert process.wait(60) == 75
    assert not recorder.calls.exists()
    assert not (tmp_path / "later").exists()


# --- what never becomes a part of it -------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_stays_one_argument(tmp_path: Path, name: str) -> None:
    recorder = Recorder(tmp_path)
    script = render(
        python=str(recorder.path), sweep_dir=f"/scratch/{name}", setup=lines("true", "exit 4")
    )
    check_syntax(script)
    _, ((argv, _, _),), _ = recorder.run(script)
    assert argv[argv.index("hpcsweep.worker") + 1] == f"/scratch/{name}"
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("where", HOSTILE)
def test_the_location_of_a_setup_line_stays_one_argument(tmp_path: Path, where: str) -> None:
    recorder = Recorder(tmp_path)
    setup = (SetupLine(text="exit 4", where=where),)
    _, ((argv, _, _),), _ = recorder.run(render(python=str(recorder.path), setup=setup))
    assert argv[-2:] == [where, "4"]
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\\b", "a\0b", "a\x1bb", "\n#SBATCH --mem=1"])
def test_a_path_that_slurm_would_not_understand_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="backslash or a control character"):
        render(sweep_dir=f"/scratch/{name}")


@pytest.mark.parametrize("value", ["1G\n#SBATCH --uid=0", "2G\n", "\n", "a\rb", "a\0"])
def test_a_directive_is_one_line(value: str) -> None:
    with pytest.raises(InputError, match="cannot be written as a directive"):
        render(options={"mem": value})


@pytest.mark.parametrize("option", ["Mem", "mem=1", "mem\n", "-mem", "mem 2", "", "a;b"])
def test_the_name_of_a_directive_is_one_too(option: str) -> None:
    with pytest.raises(InputError, match="cannot be written as a directive"):
        render(options={option: "1"})


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@example("a b")
@example('it\'s "50 %" of #3 \\')
@example("a\u2028#SBATCH --uid=0")
@example("$(x) `x` &|;()[]{}")
def test_every_text_of_one_line_is_a_value(value: str) -> None:
    """As the emulated sbatch reads it; tests/contract/test_directives.py asks the real one, too."""
    try:
        script = render(options={"comment": value})
    except InputError:
        assert set(value) & {"\n", "\r", "\0"}
        return
    assert len([line for line in script.split("\n") if line.startswith("#SBATCH")]) == 4
    assert job_options.from_script(script)["comment"] == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_parameters_never_reach_the_script(text: str) -> None:
    """Only the frozen manifest has them: other parameters give the same script."""
    plan = Plan(
        submission=1,
        manifest="",
        indices=IndexSet.all(1),
        chunk_size=1,
        parts=make_parts(1, max_array_size=2, throttle=0),
        layout=Layout(runs="all"),
    )

    def script(value: str) -> str:
        source = manual([{"x": value, "y": [value]}])
        manifest = FrozenManifest(
            name="s",
            root="/home/me",
            target=Target(argv=("prog", "{x}", value.replace("{", "").replace("}", ""))),
            source=source.to_manifest_dict(),
            setup=lines("module load gcc"),
            resources=Resources(options={"mem": "1G"}),
        )
        return script_for(sealed(manifest), Path("/scratch/s"), plan, SCRIPTS)

    assert script(text) == script("plain")


def test_the_rendered_scripts_are_bash() -> None:
    for options in ({}, {"time": "1", "exclusive": ""}):
        for setup in ((), lines("a", "b 'c'")):
            check_syntax(render(options=options, setup=setup))


def test_the_template_is_found_and_nothing_in_it_is_undefined() -> None:
    assert (template_directory() / "array.sbatch.j2").is_file()
    script = render(setup=lines("x"))
    assert "{{" not in script
    assert "{%" not in script
    assert os.linesep * 3 not in script
