"""Many first submits of one sweep at once: one succeeds, and the others remove nothing of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clusters import EmulatedCluster
from tests.support.fixtures import Scale
from tests.support.project import CLI_S, Project, check_arrays

# Loaded once and forked, so that they start together: each calls the command line when the gate
# opens. Prints the exit code and the words of each.
RACE = """
import json, os, sys, tempfile
from hpcsweep.cli import main

def racer(gate, answer):
    gate.read(1)
    out, code = tempfile.TemporaryFile(), 1
    os.dup2(out.fileno(), 1)
    os.dup2(out.fileno(), 2)
    try:
        main(["submit", "manifest.json"], standalone_mode=True)
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    out.seek(0)
    os.write(answer, (json.dumps([code, out.read().decode()]) + "\\n").encode())

count = int(sys.argv[1])
gate, opener = os.pipe()
answers, answer = os.pipe()
children = []
for _ in range(count):
    child = os.fork()
    if child == 0:
        os.close(opener)
        try:
            racer(os.fdopen(gate, "rb"), answer)
        finally:
            os._exit(0)
    children.append(child)
os.close(opener)
os.close(answer)
for child in children:
    os.waitpid(child, 0)
sys.stdout.write(os.fdopen(answers).read())
"""


def without_locks(tmp_path: Path) -> dict[str, str]:
    """Variables with which no program can flock a file below `tmp_path`."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    source = Path(__file__).parents[1] / "support" / "nolocks.c"
    library = tmp_path / "nolocks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "NOLOCKS": str(tmp_path)}


FileSystem = Callable[[Path], dict[str, str]]
FILE_SYSTEMS: dict[str, FileSystem] = {
    "local": lambda _: {},
    "without locks": without_locks,
}


def race(project: Project, racers: int, **more: str) -> list[tuple[int, str]]:
    """The exit codes and words of many submits at once."""
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(racers)],
        cwd=project.root,
        env=project.cluster.env(**more),
        stdout=subprocess.PIPE,
        text=True,
        timeout=CLI_S,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.timeout(7200)  # with --soak, two hundred rounds
@pytest.mark.parametrize("file_system", FILE_SYSTEMS.values(), ids=FILE_SYSTEMS)
def test_of_many_first_submits_one_succeeds(
    emulated: EmulatedCluster, tmp_path: Path, scale: Scale, file_system: FileSystem
) -> None:
    more, racers = file_system(tmp_path), scale(12, 30)
    for number in range(scale(2, 200)):
        project = Project(emulated, tmp_path / str(number), 2, chunk=1)
        answers = race(project, racers, **more)

        assert len(answers) == racers
        sent = [said for code, said in answers if code == 0 and "submission 1," in said]
        assert len(sent) == 1, answers
        for code, said in answers:
            assert code in (0, 5), said
            words = ("submission 1,", "nothing to submit", "is submitting or cancelling")
            assert any(word in said for word in words), said
        assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
        assert len(emulated.arrays(project.job_names)) == 1
        check_arrays(project)
        emulated.wait_over(project.job())
        assert project.executions() == {0: 1, 1: 1}
        assert len(list(project.sweep.glob("journal/0001/0/*.jsonl"))) == 2
        assert list(project.sweep.glob(".claims/*")) == []
