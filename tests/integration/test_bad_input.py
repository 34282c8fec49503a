"""Bad input as a user meets it: one clear message, its exit code, and nothing half-made left.

Nearly all of it calls the command line in this process; what needs a process of its own (rights,
signals, pipes, locales) starts one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep.journal import decode, encode
from hpcsweep.records import ParamCase
from hpcsweep.sources import GridSource
from tests.support import clusters
from tests.support import here as here_module
from tests.support.clusters import HPCSWEEP, EmulatedCluster
from tests.support.here import GOOD, Here, holds, picture
from tests.support.project import Project
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.small_disk import mounted
from tests.support.wait import wait_until

cluster = clusters.cluster
emulated = clusters.emulated
here = here_module.here
there = here_module.there

USAGE, INPUT, TARGET, SWEEP, REFUSED, UNANSWERED, DATABASE, INCOMPLETE = 2, 3, 4, 5, 6, 7, 8, 9
FINE_TARGET = here_module.TARGET


# --- the manifest ---------------------------------------------------------------------------------

# Every wrong key and value is tried in tests/unit/test_manifest_*.py.
MANIFESTS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty yaml": ("a.yaml", b"", ("a.yaml: is empty", "hpcsweep init")),
    "empty json": ("a.json", b"", ("a.json: is empty",)),
    "a list": ("a.yaml", b"- 1\n", ("is not a mapping",)),
    "binary yaml": ("a.yaml", b"\x7fELF\xff\xfe\x00\x01", ("a.yaml:1: is not UTF-8", "Save it")),
    "binary json": ("a.json", b"\x7fELF\x00\x00\x01", ("a.json:1:1: is not JSON",)),
    "a program": ("a.out", b"#!/bin/sh\n", ("has the suffix '.out'", "*.yaml")),
    "broken yaml": (
        "a.yaml",
        b"name: s\nsource: [1,\ntarget: t.py:f\n",
        ("a.yaml:4:1: is not YAML", "Look at this line"),
    ),
    "broken json": ("a.json", b'{"name": "s",\n "source": }', ("a.json:2:12: is not JSON",)),
    "a key twice": ("a.yaml", GOOD.encode() + b"name: t\n", ("a.yaml:4:", "twice", "line 1")),
    "unknown key": ("a.yaml", GOOD.encode() + b"slrum: {}\n", ("a.yaml:4: slrum", "'slurm'")),
    "unknown key, json": (
        "a.json",
        b'{"name": "s", "target": "t.py:f",\n"source": {"grid": {"x": [1]}},\n"sede": 1}',
        ("a.json:3: sede", "'seed'"),
    ),
    "many mistakes": (
        "a.yaml",
        GOOD.encode() + b"seed: one\nchunk: 0\nreplicates: -1\nslurm: {mem: lots, partion: x}\n",
        (
            "5 mistakes",
            "a.yaml:4: seed",
            "a.yaml:5: chunk",
            "a.yaml:6: replicates",
            "a.yaml:7: slurm.mem",
            "'partition'",
        ),
    ),
    "no such target": (
        "a.yaml",
        GOOD.replace("t.py", "tt.py").encode(),
        ("a.yaml:2: target", "there is no file 'tt.py'", "'t.py'"),
    ),
    "no function": ("a.yaml", GOOD.replace(":f", "").encode(), ("a.yaml:2", "names no function")),
}
COMMANDS = "name: s\nsource: {{grid: {{x: [1]}}}}\ncommand: {}\n"


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_cannot_be_used(here: Here, case: str) -> None:
    file, content, words = MANIFESTS[case]
    here.write(file, content)
    message = here.refuses(INPUT, "submit", file)
    holds(message, *words)
    assert here.refuses(INPUT, "validate", file) == message
    assert here.refuses(INPUT, "plan", file) == message
    assert here.refuses(INPUT, "run", file, "--index", "0") == message


@pytest.mark.parametrize("command", [("validate",), ("plan",), ("submit",), ("run", "--index=0")])
def test_a_manifest_that_is_not_there_or_no_file(here: Here, command: tuple[str, ...]) -> None:
    verb, *options = command
    holds(here.refuses(INPUT, verb, "b.yaml", *options), "b.yaml: there is no such file", "init")
    holds(here.refuses(INPUT, verb, ".", *options), ".: is a directory", "Name a file")


# --- the command line -----------------------------------------------------------------------------

CALLS: dict[str, tuple[int, list[str], tuple[str, ...]]] = {
    "unknown manifest key": (
        INPUT,
        ["submit", "m.yaml", "--set", "slrum.time=1"],
        ("--set slrum.time", "'slurm'"),
    ),
    "wrong value": (
        INPUT,
        ["submit", "m.yaml", "--set", "slurm.time=soon"],
        ("--set slurm.time: slurm.time", "HH:MM:SS"),
    ),
    "no outputs": (INPUT, ["submit", "m.yaml", "--outputs", ""], ("outputs",)),
    "throttle": (USAGE, ["submit", "m.yaml", "--throttle", "-1"], ("--throttle", "x>=0")),
    "throttle in words": (USAGE, ["submit", "m.yaml", "--throttle", "few"], ("--throttle",)),
    "cluster": (INPUT, ["submit", "m.yaml", "--cluster", "lsf"], ("cluster: 'lsf'", "emulated")),
    "index too high": (INPUT, ["run", "m.yaml", "--index", "2"], ("index 2", "0..1", "plan")),
    "index in words": (USAGE, ["run", "m.yaml", "--index", "x"], ("--index",)),
    "no index": (USAGE, ["run", "m.yaml"], ("--index",)),
    "no command": (USAGE, ["sbumit", "m.yaml"], ("No such command",)),
    "no manifest": (USAGE, ["submit"], ("MANIFEST",)),
    "unknown sweep": (SWEEP, ["status", "t"], ("there is no sweep 't'", "No sweep was submitted")),
    "not submitted": (SWEEP, ["collect", "m.yaml"], ("there is no sweep 's'",)),
    "no sweep": (SWEEP, ["cancel", "."], (".: is not a sweep directory", "hpcsweep submit")),
    "no suffix": (INPUT, ["logs", "program", "0"], ("program: has no suffix",)),
    "empty sweep": (SWEEP, ["rm", "--yes", ""], ("an empty text names no sweep", "`.`")),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_command_line_that_makes_no_sense(here: Here, case: str) -> None:
    here.write("program", "x")
    code, arguments, words = CALLS[case]
    holds(here.refuses(code, *arguments), *words)


# --- the target -----------------------------------------------------------------------------------

TARGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "syntax": ("\ndef f(x:\n", ("t.py:2", "SyntaxError", "was never closed")),
    "encoding": ("# coding: nope\n", ("t.py:", "SyntaxError", "nope")),
    "missing module": ("import nope\n", ("t.py:1", "No module named 'nope'", "fresh interpreter")),
    "raises": ("\n\nraise RuntimeError('boom')\n", ("t.py:3", "RuntimeError: boom")),
    "raises below": ("import other\n", ("other.py:1", "ZeroDivisionError")),
    "sys.exit": ("import sys\nsys.exit(3)\n", ("t.py:2", "SystemExit: 3")),
    "interrupt": ("raise KeyboardInterrupt\n", ("t.py:1", "KeyboardInterrupt")),
    "cannot be printed": (
        "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E\n",
        ("t.py:4", "cannot be imported: E"),
    ),
    "os._exit": ("import os\nos._exit(0)\n", ("t.py:f", "exit code 0 before it could answer")),
    "crash": ("import os\nos.kill(os.getpid(), 11)\n", ("t.py:f", "SIGSEGV", "every task")),
    "says why": (
        "import os\nos.write(1, b'no licence')\nos.abort()\n",
        ("SIGABRT", "answer: no licence"),
    ),
    "no function": ("def g(x): pass\n", ("t.py:f", "there is no 'f'", "after the colon")),
    "a class": ("class f: pass\n", ("is a class", "name a function")),
    "not taken": ("def f(): pass\n", ("does not take the parameter x", "**rest")),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_would_die_in_every_task(here: Here, case: str) -> None:
    text, words = TARGETS[case]
    here.write("t.py", text)
    here.write("other.py", "1 / 0\n")
    holds(here.refuses(TARGET, "submit", "m.yaml"), *words)
    assert not (here.path / "outputs").exists()


def test_a_module_that_is_not_there(here: Here) -> None:
    here.write("m.yaml", GOOD.replace("t.py:f", "no.such:f"))
    message = here.refuses(TARGET, "submit", "m.yaml", "--dry-run")
    holds(message, "no.such:f: the target cannot be imported", "No module named 'no'")


@pytest.mark.parametrize(
    "text",
    [
        "print('garbage')\nimport os\nos.write(1, b'{}\\nnot json')\n",
        "import sys\nsys.stdout.close()\nsys.stderr.close()\n",
        "import atexit, os\natexit.register(lambda: print('late'))\n",
        "import atexit, os\natexit.register(os.abort)\n",
        "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n",
    ],
)
def test_output_and_processes_of_a_target_are_no_answer(here: Here, text: str) -> None:
    here.write("t.py", text + FINE_TARGET)
    result = here.cli("submit", "m.yaml", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert not (here.path / "outputs").exists()


def test_cases_that_are_read_back_otherwise_are_not_sent(here: Here) -> None:
    """Two machines could disagree about the canonical form."""
    made = GridSource.__getitem__

    def otherwise(source: GridSource, index: int) -> ParamCase:
        return replace(made(source, index), case_id="0123456789abcdef")

    here.patch.setattr(GridSource, "__getitem__", otherwise)
    message = here.refuses(SWEEP, "submit", "m.yaml")
    holds(message, "manifests/", "index 0 is case 0123456789abcdef here and", "read back")
    assert not (here.path / "outputs").exists()


def test_a_target_is_imported_where_and_as_a_task_does_it(here: Here) -> None:
    """From the manifest's directory; no file of the user's hides a module of the library."""
    here.write("sub/m.yaml", GOOD + "setup: ['test -e factor']\n")
    here.write("sub/factor", "3")
    here.write("sub/t.py", "N = int(open('factor').read())\ndef f(x):\n    return {'y': N * x}\n")
    for library in ("signal", "queue", "types", "hpcsweep"):
        here.write(f"{library}.py", "1 / 0\n")
        here.write(f"sub/{library}.py", "1 / 0\n")
    result = here.cli("submit", "sub/m.yaml", "--wait")
    assert result.exit_code == 0, result.output
    rows = here.cli("collect", "sub", "--format", "csv", "--columns", "y").stdout
    assert rows == "y\n3\n6\n"


@pytest.mark.parametrize(
    ("program", "content", "mode"),
    [
        ("no-such-program", None, 0),
        ("./no-such-program", None, 0),
        ("./program.sh", "#!/bin/sh\n", 0o600),
        ("./folder", None, 0),
        ("~/sim", None, 0),
    ],
)
def test_a_program_that_cannot_be_run(
    here: Here, program: str, content: str | None, mode: int
) -> None:
    (here.path / "folder").mkdir()
    if content is not None:
        here.write(program, content).chmod(mode)
    here.write("m.yaml", COMMANDS.format(f'["{program}", "{{x}}"]'))
    message = here.refuses(TARGET, "submit", "m.yaml")
    holds(message, f"there is no program '{program}'", "chmod +x")
    holds(message, "no shell replaces ~" if program.startswith("~") else str(here.path))


def test_a_program_of_windows(here: Here) -> None:
    """Manifest, setup lines and table may have Windows line ends; a program cannot."""
    here.write("run.sh", "#!/bin/bash\r\necho $1\r\n").chmod(0o700)
    text = "name: s\nsource: {table: t.csv}\ncommand: [./run.sh, '{x}']\nsetup:\n  - export A=1\n"
    here.write("t.csv", "x\r\n1\r\n")
    here.write("m.yaml", text.replace("\n", "\r\n"))
    message = here.refuses(TARGET, "submit", "m.yaml")
    holds(message, "run.sh has Windows line ends", "'/bin/bash\\r'", "dos2unix")
    assert not (here.path / "outputs" / "s").exists()
    here.write("run.sh", "#!/bin/bash\necho $1\n")
    assert here.cli("submit", "m.yaml", "--dry-run").exit_code == 0


def test_a_file_of_windows_that_a_setup_line_sources(here: Here) -> None:
    """It would not fail: A would be 1 and a carriage return."""
    here.write("site.sh", "export A=1\r\n")
    here.write("m.yaml", f"{GOOD}setup: ['true', source site.sh]\n")
    message = here.refuses(TARGET, "submit", "m.yaml")
    holds(message, "setup[1]", "site.sh has Windows line ends", "dos2unix")


# --- setup lines ----------------------------------------------------------------------------------

SETUPS: dict[str, tuple[str, ...]] = {
    "modul load nope": ("exit code 127", "command not found"),
    "echo why >&2; (exit 4)": ("exit code 4: why",),
    "exit 0": ("exit code 0",),
    "echo 'unbalanced": ("exit code 2", "unexpected EOF"),
    "set -u; echo $NOPE": ("exit code 1", "unbound variable"),
}


@pytest.mark.parametrize("line", SETUPS)
def test_a_setup_line_that_fails_is_named(here: Here, line: str) -> None:
    here.write("m.yaml", f"{GOOD}setup:\n  - 'true'\n  - {json.dumps(line)}\n  - 'true'\n")
    message = here.refuses(TARGET, "submit", "m.yaml")
    holds(message, f"m.yaml:6: the setup line `{line}` ended with", *SETUPS[line], "setup:")


def test_a_setup_line_of_the_command_line_is_named_by_its_place(here: Here) -> None:
    message = here.refuses(TARGET, "submit", "m.yaml", "--set", 'setup=["true", "false"]')
    holds(message, "--set setup setup[1]: the setup line `false` ended with exit code 1")


def test_a_line_inside_a_sourced_file_is_named(there: Here) -> None:
    """The check names it, or the task if the line fails only there; other files are not named."""
    there.write("site.sh", "export A=1\n[ -f /etc/nothing ] && . /etc/nothing\n")
    there.write("bad.sh", "# ours\nexit 5\n")
    text = f"{GOOD}chunk: 2\nsetup: [source ./site.sh, source ./bad.sh]\n"
    there.write("m.yaml", text)
    message = there.refuses(TARGET, "submit", "m.yaml")
    holds(message, "`source ./bad.sh` ended with exit code 5 at ./bad.sh:2")
    there.write("bad.sh", '[ -z "$SLURM_JOB_ID" ] || exit 6\n')
    there.cli("submit", "m.yaml", "--wait", code=INCOMPLETE)
    found = there.does("logs", "s", "0")
    assert "(./bad.sh:1) ended with exit code 6" in found


@pytest.mark.parametrize("line", ["exec true", "kill -9 $$"])
def test_a_setup_line_that_ends_the_shell_itself(here: Here, line: str) -> None:
    here.write("m.yaml", f"{GOOD}setup: [{json.dumps(line)}]\n")
    holds(here.refuses(TARGET, "submit", "m.yaml"), "before it could answer", "a line of `setup:`")


def test_a_background_process_of_a_setup_line_does_not_block(here: Here) -> None:
    here.write("m.yaml", f"{GOOD}setup: ['sleep 1000 & echo $! >child']\n")
    assert here.cli("submit", "m.yaml", "--dry-run").exit_code == 0
    child = Path(f"/proc/{(here.path / 'child').read_text().strip()}")
    wait_until(lambda: not child.exists(), 60, "the end of the process left behind")


def test_an_import_or_a_setup_line_that_hangs_is_ended(here: Here) -> None:
    here.patch.setattr("hpcsweep.worker.launcher.TIMEOUT_S", 2.0)
    here.write("m.yaml", f"{GOOD}setup: ['echo $$ >shell; sleep 1000']\n")
    message = here.refuses(TARGET, "submit", "m.yaml")
    holds(message, "t.py:f", "did not end within 2 s", "try it by hand")
    shell = Path(f"/proc/{(here.path / 'shell').read_text().strip()}")
    assert not shell.exists()


def test_a_setup_line_that_fails_in_the_job_only(there: Here) -> None:
    line = 'test -z "$SLURM_JOB_ID" || { echo no licence here; exit 5; }'
    there.write("m.yaml", f"{GOOD}chunk: 2\nsetup:\n  - 'true'\n  - {json.dumps(line)}\n")
    where = "the setup line at m.yaml:7 ended with exit code 5"
    result = there.cli("submit", "m.yaml", "--wait", code=INCOMPLETE)
    assert "2 failed of 2" in result.stderr
    assert json.loads(there.does("status", "s", "--json"))["reasons"] == {"setup": 2}
    assert [(row["status"], row["reason"], row["error"]) for row in there.rows()] == [
        ("failed", "setup", where)
    ] * 2
    holds(there.does("logs", "s", "1"), where, "no licence here")
    document = json.loads(there.does("logs", "s", "1", "--json"))
    assert document["index"] == 1
    assert any("no licence here" in one["text"] for one in document["texts"])
    assert not list(there.sweep.glob("runs/log_*"))


# --- what is in the way ---------------------------------------------------------------------------


def test_a_file_a_directory_or_another_sweep_in_the_way(here: Here) -> None:
    here.write("outputs/s", "mine")
    holds(here.refuses(SWEEP, "submit", "m.yaml"), "outputs/s: is in the way", "another name")
    (here.path / "outputs/s").unlink()
    here.write("outputs/s/thesis.tex", "mine")
    holds(here.refuses(SWEEP, "submit", "m.yaml"), "outputs/s: is in the way", "another name")
    shutil.rmtree(here.path / "outputs/s")
    marker = {"format": 1, "name": "other", "key": "0123456789abcdef"}
    here.write("outputs/s/sweep.json", json.dumps(marker))
    holds(here.refuses(SWEEP, "submit", "m.yaml"), "belongs to the sweep 'other', not 's'")
    here.write("file", "")
    holds(here.refuses(SWEEP, "submit", "m.yaml", "--outputs", "file"), "file/s: cannot be written")


def test_another_target_or_seed_under_the_same_name(here: Here) -> None:
    here.finishes()
    here.write("m.yaml", GOOD + "seed: 5\n")
    message = here.refuses(SWEEP, "submit", "m.yaml")
    holds(message, "the seed was 0 and is 5", "would be mixed", "--allow-mixed")
    here.write("u.py", FINE_TARGET)
    here.write("m.yaml", GOOD.replace("t.py", "u.py"))
    holds(here.refuses(SWEEP, "submit", "m.yaml"), "the target was `t.py:f` and is `u.py:f`")


def test_a_directory_with_the_name_of_the_sweep_does_not_hide_it(here: Here) -> None:
    here.finishes()
    (here.path / "s").mkdir()
    here.does("status", "s")
    holds(here.refuses(SWEEP, "status", "t"), "there is no sweep 't'", "Sweeps here: s.")


# --- the cluster ----------------------------------------------------------------------------------


def test_no_sbatch_on_path(here: Here) -> None:
    here.patch.delenv("HPCSWEEP_CLUSTER")
    here.patch.setenv("PATH", str(here.path))
    message = here.refuses(REFUSED, "submit", "m.yaml")
    holds(message, "there is no sbatch on PATH", "--cluster emulated")
    message = here.refuses(REFUSED, "submit", "m.yaml", "--cluster", "slurm")
    holds(message, "on PATH", "--cluster emulated")
    # A sweep that was submitted before goes on where it is.
    here.does("submit", "m.yaml", "--cluster", "emulated", "--wait")
    assert "nothing to submit, 2 complete" in here.does("submit", "m.yaml")


def test_an_array_that_is_refused(there: Here) -> None:
    # The emulated cluster refuses it as well: it would have to make a partition.
    nowhere = ("--set", "slurm.licenses=nope")
    message = there.refuses(REFUSED, "submit", "m.yaml", *nowhere)
    holds(message, "sbatch refused the array", "nvalid license", "Nothing was submitted")
    assert not (there.path / "outputs").exists()
    # And when there is a sweep already, whose cases are to be computed again.
    there.finishes()
    message = there.refuses(REFUSED, "submit", "m.yaml", "--rerun", "all", *nowhere)
    assert "sbatch refused the array" in message
    key = json.loads((there.sweep / "sweep.json").read_bytes())["key"]
    assert len(there.cluster.arrays(f"s.{key[:8]}.")) == 1


@pytest.fixture
def sbatch(here: Here, emulated: EmulatedCluster) -> Callable[[str], None]:
    """`sbatch(shell text)` puts it before the emulated one, `$real`, for the cluster `slurm`.

    It has the time that a busy machine may need; a test of one that never answers sets less.
    """
    found = emulated.env()
    real = shutil.which("sbatch", path=found["PATH"])
    folder = here.path / "bin"
    folder.mkdir()
    here.patch.setenv("PATH", f"{folder}:{found['PATH']}")
    here.patch.setenv("HPCSWEEP_CLUSTER", "slurm")
    here.patch.setenv("HPCSWEEP_SBATCH_TIMEOUT_S", "60")
    here.patch.setenv("HPCSWEEP_UNANSWERED_S", "2")

    def write(text: str) -> None:
        path = here.write("bin/sbatch", f"#!/bin/bash\nreal={real}\n{text}\n")
        path.chmod(0o700)

    return write


COUNTING = """\
from pathlib import Path

def f(x):
    with (Path(__file__).parent / "executions").open("a") as stream:
        stream.write(f"{x}\\n")
"""


# What sbatch may say after the controller took the job: Slurm's own errors of the wire, and words
# that nobody has written down.
LOST = (
    "sbatch: error: Batch job submission failed: Message receive failure",
    "sbatch: error: Batch job submission failed: Unspecified error",
    "the wrapper broke",
)


@pytest.mark.parametrize(
    "text",
    [
        *(f'"$real" "$@" >/dev/null; echo {shlex.quote(said)} >&2; exit 1' for said in LOST),
        '"$real" "$@"; exec sleep 1000',
        '"$real" "$@"; (sleep 1000 >&2) & wait',
        '"$real" "$@" >/dev/null; kill -9 $$',
        '"$real" "$@" >/dev/null; echo welcome',
        '"$real" "$@"; echo 2026',
    ],
)
def test_an_array_that_was_accepted_without_an_answer(
    here: Here, sbatch: Callable[[str], None], text: str
) -> None:
    """It is found under its name at once, and never sent again."""
    here.write("t.py", COUNTING)
    sbatch(f"echo >>{here.path}/calls; {text}")
    if "sleep" in text:
        here.patch.setenv("HPCSWEEP_SBATCH_TIMEOUT_S", "6")  # the real one answers within it
    here.patch.setenv("HPCSWEEP_UNANSWERED_S", "20")
    result = here.cli("submit", "m.yaml", code=0)
    holds(result.stderr, "found by its name: job ")
    assert json.loads((here.sweep / "submissions/0001/part-0000.job.json").read_bytes())["job_id"]
    here.finishes()
    assert sorted((here.path / "executions").read_text().split()) == ["1", "2"]
    assert (here.path / "calls").read_text() == "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exec sleep 1000", ("did not answer within 2 s",)),
        ("echo 'You have 12 GB left'", ("sbatch answered 'You have", "no job id")),
        ("kill -9 $$", ("sbatch: ended by SIGKILL",)),
        (
            'echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1',
            ("Socket timed out",),
        ),
        ('echo "Ask the help desk for an account." >&2; exit 1', ("Ask the help desk",)),
        ("exit 3", ("exit code 3",)),
    ],
)
def test_an_sbatch_without_a_definite_answer(
    here: Here, sbatch: Callable[[str], None], text: str, words: tuple[str, ...]
) -> None:
    here.write("t.py", COUNTING)
    sbatch(text)
    with here.patch.context() as patch:
        if "sleep" in text:
            patch.setenv("HPCSWEEP_SBATCH_TIMEOUT_S", "2")
        result = here.cli("submit", "m.yaml")
    assert result.exit_code == UNANSWERED, result.output
    holds(result.stderr, *words, "It is not known whether", "the same command again")
    # Files that a task may read already are there; the next submit resolves the part.
    assert (here.path / "outputs/s/submissions/0001/part-0000.intent.json").exists()
    assert here.cli("status", "s").exit_code == 0
    sbatch('exec "$real" "$@"')
    result = here.cli("submit", "m.yaml", "--wait")
    assert result.exit_code == 0, result.output
    assert sorted((here.path / "executions").read_text().split()) == ["1", "2"]


def test_an_sbatch_that_cannot_be_run(here: Here, sbatch: Callable[[str], None]) -> None:
    sbatch("")
    here.write("bin/sbatch", b"\x7fELF garbage").chmod(0o700)
    holds(here.refuses(REFUSED, "submit", "m.yaml"), "bin/sbatch cannot be run", "PATH")


def test_a_refusal_of_a_site_without_an_error_code(
    here: Here, sbatch: Callable[[str], None]
) -> None:
    """job_submit.lua does that; the queue lacks the array, so the refusal is certain."""
    sbatch(
        'echo "sbatch: error: You must name an account." >&2;'
        'echo "sbatch: error: Batch job submission failed: Unspecified error" >&2; exit 1'
    )
    message = here.refuses(REFUSED, "submit", "m.yaml")
    holds(message, "refused the array: You must name an account.", "Nothing was submitted")


# What wrappers of sites print around the job id (TACC's checks, a colour, a line end of DOS).
BANNERS = (
    (
        'echo "--- Welcome to Machine3 ---"; echo "--> Quota: 12 of 100 OK"; args=(); for one; do '
        '[ "$one" = --parsable ] || args+=("$one"); done; exec "$real" "${args[@]}"'
    ),
    'printf "\\033[32m"; "$real" "$@" | tr -d "\\n"; printf "\\033[0m\\r\\n"; echo done',
)


@pytest.mark.parametrize("text", BANNERS, ids=["banner", "colour"])
def test_a_job_id_in_the_output_of_a_site_wrapper(
    here: Here, sbatch: Callable[[str], None], text: str
) -> None:
    sbatch(f"echo >>{here.path}/calls; {text}")
    result = here.cli("submit", "m.yaml", "--wait", code=0)
    assert "found by its name" not in result.stderr
    assert (here.path / "calls").read_text() == "\n"


def test_a_dry_run_asks_the_cluster(there: Here) -> None:
    nowhere = ("--set", "slurm.licenses=none:1")
    message = there.refuses(REFUSED, "submit", "m.yaml", "--dry-run", *nowhere)
    holds(message, "would refuse the array", "nvalid license", "`slurm:`")
    assert "the cluster would take it" in there.does("submit", "m.yaml", "--dry-run")
    # A real cluster's limits are kept for a while, those of the emulated one are read each time.
    is_real = there.cluster.kind == "slurm"
    unasked = ("the queue", "limits of") if is_real else ("any cluster", "MaxArraySize 1001")
    holds(there.does("plan", "m.yaml"), "not asked: ", *unasked)
    assert not there.sweep.exists()


def test_a_dry_run_on_a_slurm_that_lacks_what_is_asked_for(
    slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = Here.settle(clusters.RealCluster(slurm), tmp_path, monkeypatch)
    for option, words in (
        ("partition=nope", "slurm.partition is nope, and this cluster has no such partition"),
        ("mem=999G", "slurm.mem asks for 1,022,976 MiB of memory on a node"),
        ("gpus-per-node=3", "slurm.gpus-per-node asks for 3 GPUs on a node"),
        ("cpus-per-task=5", "slurm.cpus-per-task asks for 5 CPUs on a node"),
        ("licenses=none:1", "nvalid license"),
    ):
        message = user.refuses(REFUSED, "submit", "m.yaml", "--dry-run", "--set", f"slurm.{option}")
        holds(message, "would refuse the array", words)


def test_a_dry_run_without_a_definite_answer_of_the_cluster(
    here: Here, sbatch: Callable[[str], None]
) -> None:
    sbatch('echo "--test-only is not for this wrapper" >&2; exit 2')
    holds(here.does("submit", "m.yaml", "--dry-run"), "not asked: ", "not for this wrapper")


def test_a_second_array_that_is_refused(here: Here, sbatch: Callable[[str], None]) -> None:
    """The first array runs: its files stay, and the message says that it was submitted."""
    here.write("t.py", COUNTING)
    here.write("m.yaml", GOOD.replace("[1, 2]", str(list(range(1001)))) + "chunk: 1\nruns: none\n")
    many = "sbatch: error: Batch job submission failed: Invalid job array specification"
    sbatch(f'case "$*" in *" 1") echo "{many}" >&2; exit 1;; esac; exec "$real" --hold "$@"')
    result = here.cli("submit", "m.yaml")
    assert result.exit_code == REFUSED, result.output
    holds(result.stderr, "refused the array: Batch job", "Parts before number 1", "sends the rest")
    assert "Nothing was submitted" not in result.stderr
    assert here.cli("cancel", "s").exit_code == 0


def test_a_controller_that_is_dead(
    slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = Here.settle(clusters.RealCluster(slurm), tmp_path, monkeypatch)
    user.write("m.yaml", f"{GOOD}slurm: {{hold: true}}\n")
    user.write("n.yaml", GOOD.replace("name: s", "name: n"))
    user.does("submit", "m.yaml")
    # The same cluster as before, at a port without a listener.
    lines = (slurm.directory / "slurm.conf").read_text().splitlines()
    lines = [one for one in lines if not one.startswith("SlurmctldPort=")]
    dead = user.write("dead.conf", "\n".join([*lines, "SlurmctldPort=1", "MessageTimeout=2", ""]))
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", str(dead))
        for arguments in (["submit", "n.yaml"], ["submit", "m.yaml"], ["cancel", "s"]):
            message = user.refuses(UNANSWERED, *arguments)
            holds(message, "Unable to contact slurm controller")
        # Reading commands show what is known, and that the query failed.
        found = json.loads(user.does("status", "s", "--json"))
        holds(found["cluster"]["problem"], "Unable to contact slurm controller")
        assert "could not be asked" in user.does("status", "s")
        assert {row["status"] for row in user.rows()} <= {"pending", "unknown"}
    assert not (tmp_path / "outputs/n").exists()
    user.does("cancel", "s")


# --- a damaged sweep directory --------------------------------------------------------------------


@pytest.fixture(scope="session")
def finished(emulated: EmulatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished sweep `s` of two cases, only to be copied."""
    path = tmp_path_factory.mktemp("finished")
    (path / "m.yaml").write_text(GOOD.replace("[1, 2]", '["ü€", "b"]'), encoding="utf-8")
    (path / "t.py").write_text(FINE_TARGET)
    done = subprocess.run(
        [HPCSWEEP, "submit", "m.yaml", "--wait"],
        cwd=path,
        env=emulated.env(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A copy by hand, beside its original, would be told apart; this one has been moved.
    (path / "outputs").rename(path / "made")
    return path


@pytest.fixture
def sweep(here: Here, finished: Path) -> Path:
    """The directory of a finished sweep in the user's directory."""
    shutil.copytree(finished, here.path, dirs_exist_ok=True)
    return (here.path / "made").rename(here.path / "outputs") / "s"


READING = (["status", "s"], ["collect", "s"], ["logs", "s", "0"], ["ingest", "s", "--rebuild"])
FILES: dict[str, tuple[str, Callable[[str], str] | None, tuple[str, ...]]] = {
    "a changed manifest": (
        "manifests/*/sweep.json",
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        ("was changed", "Restore"),
    ),
    "a manifest of a newer format": (
        "manifests/*/sweep.json",
        lambda text: text.replace('"format": 1', '"format": 2'),
        ("has format 2, this program reads 1", "newer"),
    ),
    "a manifest that is none": ("manifests/*/sweep.json", lambda _: "x", ("is damaged", "Restore")),
    "no manifest": ("manifests/*/sweep.json", None, ("there is no such file", "Restore")),
    "a plan of a newer format": (
        "submissions/0001/plan.json",
        lambda text: text.replace('"format": 1', '"format": 2'),
        ("has format 2, this program reads 1", "newer"),
    ),
    "a plan that is none": ("submissions/0001/plan.json", lambda _: "[]", ("is damaged",)),
    "a plan without parts": (
        "submissions/0001/plan.json",
        lambda text: text.replace('"parts"', '"arts"'),
        ("is damaged", "parts"),
    ),
    "a plan without a cluster": (
        "submissions/0001/plan.json",
        lambda text: text.replace('"cluster"', '"luster"'),
        ("is damaged",),
    ),
    "a plan with odd indices": (
        "submissions/0001/plan.json",
        lambda text: text.replace('"indices"', '"indices": 7, "j"'),
        ("is damaged", "7"),
    ),
    "no plan": ("submissions/0001/plan.json", None, ("there is no such file", "Restore")),
    "a marker that is none": ("sweep.json", lambda _: "{", ("is damaged", "Restore")),
    "a marker without a key": ("sweep.json", lambda _: '{"format": 1}', ("is damaged",)),
    "a marker of a newer format": ("sweep.json", lambda _: '{"format": 2}', ("has format 2",)),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_the_sweep_that_was_changed_by_hand(here: Here, sweep: Path, case: str) -> None:
    pattern, change, words = FILES[case]
    (path,) = sweep.glob(pattern)
    if change is None:
        path.unlink()
    else:
        assert change(path.read_text()) != path.read_text()
        path.write_text(change(path.read_text()))
    # All that read the file are tried once; the others of its mistakes by a look and a submit.
    commands = READING if case in ("no manifest", "no plan") else READING[:1]
    for command in (*commands, ["submit", "m.yaml"]):
        holds(here.refuses(SWEEP, *command), path.name, *words)


def test_an_index_that_is_damaged_and_made_again(here: Here, sweep: Path) -> None:
    rows = here.cli("collect", "s", "--format", "csv").stdout
    file = sweep / "store.sqlite3"
    whole = file.read_bytes()
    for content in (b"garbage" * 999, whole[:3000], whole[:5000] + b"\xff" * 5000):
        file.write_bytes(content)
        for command in (["status", "s"], ["collect", "s"], ["submit", "m.yaml"]):
            message = here.refuses(DATABASE, *command)
            holds(message, "store.sqlite3", "hpcsweep ingest", "--rebuild", "safe in the journals")
        assert here.cli("ingest", "s", "--rebuild").exit_code == 0
        assert here.cli("collect", "s", "--format", "csv").stdout == rows
    file.unlink()
    file.mkdir()
    holds(here.refuses(DATABASE, "status", "s"), "store.sqlite3", "cannot be opened")


def test_journals_that_a_site_removed(here: Here, sweep: Path) -> None:
    """The index alone has their outcomes."""
    rows = here.cli("collect", "s", "--output", "-").stdout
    shutil.rmtree(sweep / "journal")
    holds(here.refuses(DATABASE, "ingest", "s", "--rebuild"), "gone or shorter", "archive")
    assert here.cli("collect", "s", "--format", "csv").stdout == rows
    holds(here.cli("doctor", "s", code=1).stdout, "journals", "gone or shorter", "archive")


def test_run_directories_have_what_the_journals_had(here: Here, sweep: Path) -> None:
    def table() -> list[dict[str, str]]:
        text = here.cli("collect", "s", "--format", "csv", code=0).stdout
        # The id of Slurm's job is in the journal alone.
        return [row | {"job_id": ""} for row in csv.DictReader(io.StringIO(text))]

    before = table()
    shutil.rmtree(sweep / "journal")
    (sweep / "store.sqlite3").unlink()
    holds(here.cli("ingest", "s", "--salvage", code=0).output, "salvaged", "0 could not be used")
    assert table() == before
    here.cli("ingest", "s", "--rebuild", code=0)
    assert table() == before
    holds(here.cli("status", "s", code=0).stdout, "complete  2")


def test_an_index_of_a_newer_program(here: Here, sweep: Path) -> None:
    with sqlite3.connect(sweep / "store.sqlite3") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    connection.close()
    holds(here.refuses(DATABASE, "status", "s"), "99", "newer hpcsweep")


def test_a_record_of_another_sweep_is_named(here: Here, sweep: Path) -> None:
    journal = min(sweep.glob("journal/*/*/*.jsonl"))
    records = map(decode, journal.read_bytes().splitlines())
    (record, *_) = (found for found in records if found and found["kind"] == "begin")
    del record["crc"]
    with journal.open("ab") as stream:
        stream.write(encode(record | {"index": 7}) + b"half of a line\n")
    # Nobody looks again at a journal whose task is over.
    told = here.cli("ingest", "s", "--rebuild", code=0).output
    holds(here.does("status", "s"), "2 journal lines were passed over, in 1 journal")
    holds(told, "2 cases in the index, 2 journal lines passed over", f"{journal.name}, line")
    holds(told, "it has index 7 of 2 of", "it is damaged")
    assert json.loads(here.does("status", "s", "--json"))["torn_lines"] == 2


def test_derived_files_may_have_any_content(here: Here, sweep: Path) -> None:
    for name in ("cluster.json", ".cluster.lock"):
        for content in ("", "[]", "{", '{"in_queue": 3}', "\0\xff"):
            (sweep / name).write_text(content)
            for command in (["status", "s"], ["submit", "m.yaml"], ["cancel", "s"]):
                assert here.cli(*command).exit_code == 0, (name, content, command)
    here.write("outputs/s/journal/0001/stray", "x")
    here.write("outputs/s/journal/0001/0/9.0.0123456789abcdef.jsonl", "not a record\n")
    assert "1 journal line was passed over" in here.cli("status", "s").stdout


SELECTIONS: dict[str, tuple[int, list[str], tuple[str, ...]]] = {
    "a case that is none": (INPUT, ["logs", "s", "7"], ("the index 7", "0..1")),
    "a case id that is none": (INPUT, ["logs", "s", "zz"], ("'zz'",)),
    "no directory": (SWEEP, ["collect", "s", "--output", "no/x.csv"], ("no/x.csv: cannot be",)),
    "a directory": (USAGE, ["collect", "s", "--output", "."], ("is a directory",)),
    "a format": (USAGE, ["collect", "s", "--format", "xlsx"], ("'csv'",)),
    "a suffix": (USAGE, ["collect", "s", "--output", "a.xlsx"], ("a.xlsx", ".parquet")),
    "a table in a file": (USAGE, ["collect", "s", "--format", "table", "--output", "a"], ("csv",)),
    "a file that no case has": (INPUT, ["files", "s", "artifacts/*.json"], ("no case", "*.json")),
    "a column": (INPUT, ["collect", "s", "--columns", "yy"], ("yy",)),
    "a likely column": (INPUT, ["collect", "s", "--columns", "statis"], ("Did you mean status?",)),
    "lines for spreadsheets": (
        USAGE,
        ["collect", "s", "--safe-csv", "--format", "jsonl"],
        ("csv",),
    ),
    "a screen that is a file": (
        USAGE,
        ["collect", "s", "--wide", "--output", "a.csv"],
        ("screen",),
    ),
    "two views": (USAGE, ["collect", "s", "--wide", "--vertical"], ("exclude each other",)),
    "a pivot of two": (INPUT, ["collect", "s", "--pivot", "x:y"], ("x:y", "omega,dt:energy")),
    "means of attempts": (
        INPUT,
        ["collect", "s", "--attempts", "--group-by", "x"],
        ("no metrics",),
    ),
    "a statistic": (INPUT, ["collect", "s", "--group-by", "x", "--stats", "mode"], ("median",)),
    "one sweep twice": (INPUT, ["collect", "s", "outputs/s"], ("is named twice",)),
    "a comparison": (INPUT, ["compare", "s", "s"], ("is named twice",)),
    "a condition": (INPUT, ["collect", "s", "--where", "y <"], ("y <",)),
    "code": (INPUT, ["collect", "s", "--where", "__import__('os')"], ("--where",)),
    "a status": (INPUT, ["collect", "s", "--status", "done"], ("done", "complete")),
    "a rerun": (USAGE, ["submit", "m.yaml", "--rerun", "some"], ("'failed'",)),
    "an index": (INPUT, ["submit", "m.yaml", "--cases", "1-99"], ("no case has the index",)),
    "a condition on results": (INPUT, ["submit", "m.yaml", "--where", "zz > 1"], ("zz",)),
    "no index": (INPUT, ["submit", "m.yaml", "--cases", ""], ("names no case", "3,7,10-20")),
    "no set": (INPUT, ["submit", "m.yaml", "--cases", "1 to 3"], ("'1 to 3' is neither",)),
    "some cases replaced": (
        INPUT,
        ["submit", "m.yaml", "--replace", "--cases", "0"],
        ("--replace", "as a whole"),
    ),
    "faults for some cases": (USAGE, ["submit", "m.yaml", "--chaos", "1", "--cases", "0"], ()),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_a_condition_that_makes_no_sense(here: Here, sweep: Path, case: str) -> None:
    code, arguments, words = SELECTIONS[case]
    holds(here.refuses(code, *arguments), *words)
    assert sweep.exists()


SELECTING = {
    "plan": ["m.yaml"],
    "submit": ["m.yaml"],
    "retry": ["s"],
    "cancel": ["s"],
    "logs": ["s"],
    "collect": ["s"],
    "files": ["s", "metadata.json"],
    "plot": ["s", "--x", "x", "--y", "y"],
    "report": ["s"],
    "unpack": ["s"],
}
NO_CASES: dict[tuple[str, str], tuple[str, ...]] = {
    ("--cases", "7"): ("no case has the index 7", "0..1"),
    ("--cases", "0-9"): ("no case has the index 2", "0..1"),
    ("--cases", "1-0"): ("'1-0' is neither", "write 0-1"),
    ("--cases", "ffffffffff"): ("no case id begins with 'ffffffffff'",),
    ("--cases", ""): ("names no case",),
    ("--cases", "@empty.txt"): ("empty.txt names no case",),
    ("--cases", "@none.txt"): ("none.txt cannot be read",),
    ("--where", "zz > 1"): ("'zz' is not a column", "stale"),
    ("--status", "done"): ("'done' is not a status", "complete"),
    ("--status", ""): ("'' is not a status", "complete"),
    ("--status", "failed,"): ("'' is not a status", "complete"),
    ("--last", "9"): ("no submission 9", "last one is 1"),
}
ONE_OF_EACH_OPTION = {option: (option, value) for option, value in NO_CASES}.values()


@pytest.mark.parametrize("command", SELECTING)
def test_a_selection_is_refused_alike(here: Here, sweep: Path, command: str) -> None:
    """Every command refuses it with the same message; all of them are tried with `collect`."""
    here.write("empty.txt", "# none\n")
    for option, value in NO_CASES if command == "collect" else ONE_OF_EACH_OPTION:
        words = NO_CASES[option, value]
        holds(here.refuses(INPUT, command, *SELECTING[command], option, value), option, *words)
    assert sweep.exists()


@pytest.mark.parametrize("command", SELECTING)
def test_a_selection_of_nothing_is_told_alike(here: Here, sweep: Path, command: str) -> None:
    done = here.cli(command, *SELECTING[command], "--where", "x > 1e9", "--status", "failed")
    holds(done.stderr, "no case is selected: --where 'x > 1e9' --status failed")
    # A figure or a report of nothing would take the place of the one that is there.
    assert done.exit_code == (INPUT if command in ("plot", "report") else 0)
    assert sweep.exists()


def test_values_with_markup_are_shown_as_they_are(here: Here) -> None:
    here.write("m.yaml", GOOD.replace("[1, 2]", r'["[/red]", "\e[1m", "\u202Ea"]'))
    here.does("submit", "m.yaml", "--wait")
    table = here.does("collect", "s")
    holds(table, "[/red]", r"\x1b[1m", r"\u202ea")
    assert "\x1b" not in table


# --- rights, space --------------------------------------------------------------------------------

# Root may do anything: these capabilities away, its own files are as closed to it as a user's.
LOW = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()

CLOSED: dict[str, tuple[str, int, int, list[str], tuple[str, ...]]] = {
    "no new sweep": (".", 0o500, SWEEP, ["submit", "n.yaml"], ("outputs/n: cannot be written",)),
    "outputs closed": (".", 0, SWEEP, ["status", "s"], ("cannot be read: Permission denied",)),
    "sweep closed": ("s", 0, SWEEP, ["collect", "s"], ("cannot be read: Permission denied",)),
    "no new submission": (
        "s/submissions",
        0o500,
        SWEEP,
        ["submit", "m.yaml", "--rerun", "all"],
        ("s/submissions", "cannot be written: Permission denied"),
    ),
    "journal closed": ("s/journal/0001", 0, SWEEP, ["status", "s"], ("s/journal/0001: cannot be",)),
    "plan closed": ("s/submissions/0001/plan.json", 0, SWEEP, ["status", "s"], ("plan.json: can",)),
    "claims closed": ("s/.claims", 0, SWEEP, ["submit", "m.yaml"], (".claims/submit: cannot be",)),
    "index closed": ("s/store.sqlite3", 0, DATABASE, ["status", "s"], ("cannot be opened",)),
    "index read-only": (
        "s/store.sqlite3",
        0o400,
        DATABASE,
        ["ingest", "s", "--rebuild"],
        ("it is read-only",),
    ),
    "manifest closed": ("../m.yaml", 0, INPUT, ["validate", "m.yaml"], ("m.yaml: cannot be read",)),
    "target closed": ("../t.py", 0, TARGET, ["submit", "n.yaml"], ("Permission denied",)),
}


@pytest.mark.parametrize("case", CLOSED)
def test_without_permission(here: Here, sweep: Path, emulated: EmulatedCluster, case: str) -> None:
    name, mode, code, arguments, words = CLOSED[case]
    here.write("n.yaml", GOOD.replace("name: s", "name: n"))
    path = sweep.parent / name
    before, old = picture(sweep.parent), path.stat().st_mode
    path.chmod(mode)
    try:
        done = subprocess.run(
            [*LOW, HPCSWEEP, *arguments],
            env=emulated.env(PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.chmod(stat.S_IMODE(old))
    assert done.returncode == code, done.stdout + done.stderr
    holds(done.stderr, "hpcsweep: ", *words)
    assert "Traceback" not in done.stderr
    assert picture(sweep.parent) == before


def test_a_full_disk_at_each_step_of_a_submit(here: Here) -> None:
    said = set()
    sizes = (
        "nr_inodes=4",
        "size=4k",
        "size=8k",
        "size=12k",
        "size=16k",
        "size=20k",
        "size=24k",
        "size=28k",
        "size=32k",
        "nr_inodes=12",
    )
    for options in sizes:
        with mounted(here.path / "outputs", options) as path:
            result = here.cli("submit", "m.yaml")
            assert result.exit_code in (SWEEP, DATABASE), (options, result.output)
            holds(result.stderr, f"{path}/s/")
            assert "No space left" in result.stderr or "the disk or quota is full" in result.stderr
            assert picture(path) == {}, options
        said.add(result.stderr.split(": ")[1].rpartition("/")[2])
    assert {"submit", "sweep.json", "t.py", "store.sqlite3"} <= said, said
    assert {"plan.json", "array.sbatch"} & said, said


# --- signals, pipes, locales ----------------------------------------------------------------------

PATIENT = """\
import time
from pathlib import Path

HERE = Path(__file__).parent

def run(x):
    while not (HERE / "go").exists():
        time.sleep(0.02)
"""


def test_an_interrupt_ends_the_waiting_and_not_the_sweep(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path, 1, target=PATIENT)
    with project.start("submit", "manifest.json", "--wait") as process:
        assert process.stderr is not None
        assert "of 1" in process.stderr.readline()  # it waits
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    holds(err, "what was submitted goes on", "hpcsweep status sweep", "hpcsweep cancel sweep")
    assert "Traceback" not in err
    (tmp_path / "go").touch()
    project.submit("--wait")
    assert project.status()["submissions"] == 1


def test_an_interrupt_before_anything_is_sent_leaves_nothing(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    text = "open('importing', 'w').close()\nimport time\ntime.sleep(1000)\ndef run(x): pass\n"
    project = Project(emulated, tmp_path, 1, target=text)
    with project.start("submit", "manifest.json") as process:
        wait_until((tmp_path / "importing").exists, 30, "the import of the target")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 130), err
    assert "Traceback" not in err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["collect", "s"],
        ["collect", "s", "--format", "csv"],
        ["collect", "s", "--format", "jsonl"],
        ["status", "s"],
        ["plan", "n.yaml", "--script"],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone(
    here: Here, sweep: Path, emulated: EmulatedCluster, arguments: list[str]
) -> None:
    """No message, and the exit code of a program that SIGPIPE ended."""
    here.write("n.yaml", GOOD.replace("name: s", "name: n"))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [HPCSWEEP, *arguments],
            env=emulated.env(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, ""), sweep


LOCALES = (
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
)


# How old the limits of the cluster are differs from one command to the next.
AGE = re.compile(rb", read \d+ s ago")


@pytest.mark.parametrize("locale", LOCALES, ids=["C", "latin-1"])
def test_every_locale_gives_the_same_bytes(
    here: Here, sweep: Path, emulated: EmulatedCluster, locale: dict[str, str]
) -> None:
    here.write("n.yaml", GOOD.replace("name: s", "name: n").replace("[1, 2]", "[ü, €]"))
    for arguments in (
        ["collect", "s"],
        ["collect", "s", "--format", "csv"],
        ["submit", "n.yaml", "--dry-run"],
    ):
        known = here.cli(*arguments)
        done = subprocess.run(
            [HPCSWEEP, *arguments], env=emulated.env(**locale), capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), sweep
        printed, expected = (AGE.sub(b"", text) for text in (done.stdout, known.stdout_bytes))
        assert printed == expected, sweep


def test_a_path_that_the_locale_cannot_encode(here: Here, emulated: EmulatedCluster) -> None:
    here.write("ü/m.yaml", GOOD)
    here.write("ü/t.py", FINE_TARGET)
    done = subprocess.run(
        [HPCSWEEP, "submit", "ü/m.yaml"],
        env=emulated.env(**LOCALES[0]),
        capture_output=True,
        check=False,
    )
    assert done.returncode == INPUT, done.stderr
    holds(done.stderr.decode(), "m.yaml: ", "is not UTF-8", "LC_ALL=C.UTF-8")
    assert not (here.path / "outputs").exists()
