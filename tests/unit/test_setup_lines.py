"""Setup lines behave as in a login shell: what init files do is no failure, what fails is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpcsweep.manifest.frozen import SetupLine
from hpcsweep.worker.interpreter import Interpreter
from hpcsweep.worker.launcher import Launcher

FAILED = 'printf "%s\\n" failed "$hpcsweep_line" "$hpcsweep_exit" "$hpcsweep_place"; builtin exit 0'

# Typical files that users source; each also sets A=1.
INNOCENT = {
    "last.sh": "export A=1\n[ -f /etc/nothing ] && . /etc/nothing\n",
    "count.sh": "n=0\n((n++))\nexport A=1\n",
    "count_last.sh": "export A=1 n=0\n((n++))\n",
    "grep.sh": "x=$(grep nothing /etc/hostname)\nexport A=1\ngrep -q nothing /etc/hostname\n",
    "middle.sh": "cat /nope 2>/dev/null\nexport A=1\n[ -f /etc/nothing ] && . /etc/nothing\n",
    "nested.sh": ". ./last.sh\n",
    "returns.sh": "export A=1\n[ '' ] || return\nexport A=2\n",
    "interactive.sh": "export A=1\ncase $- in *i*) ;; *) return ;; esac\nexport A=2\n",
    "terminal.sh": "export A=1\nstty erase ^H 2>/dev/null\n",
    "strict.sh": "set -euo pipefail\nexport A=1\n",
    "traps.sh": "trap 'echo bye' EXIT\ntrap - ERR RETURN\nexport A=1\n",
    "activate.sh": "activate() { local x; x=$(false); export A=1; [ -z y ]; }\nactivate\n",
    "options.sh": "set -a -f\nIFS=,\nshopt -s nullglob extglob\nexport A=1\n",
}
# And where they fail: exit code and line.
GUILTY = {
    "false.sh": ("export A=1\nfalse\n", 1, "false.sh:2"),
    "block.sh": ("if true; then\n  cp /nope .\nfi\n# the end\n", 1, "block.sh:2"),
    "return5.sh": ("export A=1\nreturn 5\n", 5, "return5.sh:2"),
    "exit3.sh": ("export A=1\nexit 3\n", 3, "exit3.sh:2"),
    "exit0.sh": ("exit 0\n", 0, "exit0.sh:1"),
    "nocommand.sh": ("nosuchprogram\n", 127, "nocommand.sh:1"),
    "outer.sh": ("\n. ./false.sh\n", 1, "false.sh:2"),
    "lost.sh": ("[ '' ] && true\n. ./missing.sh\n", 1, "lost.sh:2"),
    "load.sh": ("module() { return 1; }\n\nmodule load nope\n", 1, "load.sh:3"),
    "strict_false.sh": ("set -e\nfalse\nexport A=1\n", 1, "strict_false.sh:2"),
    "strict_test.sh": ("set -e\n((n=0))\nexport A=1\n", 1, "strict_test.sh:2"),
    "unset.sh": ("set -u\necho $NOPE\n", 1, "unset.sh"),
    "syntax.sh": ("if then\n", 2, ""),  # bash itself says where
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with these files."""
    for name, text in INNOCENT.items():
        (tmp_path / name).write_text(text)
    for name, (text, _, _) in GUILTY.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def setup_script(*texts: str) -> str:
    """The text of these lines, which says what failed."""
    lines = tuple(SetupLine(text=text, where=f"m.yaml:{n}") for n, text in enumerate(texts, 1))
    return Launcher(
        setup=lines, interpreter=Interpreter(own="python3"), root=Path("/")
    ).setup_script(FAILED)


def outcome(root: Path, *texts: str) -> list[str]:
    """The output of a script behind these lines."""
    (root / "script").write_text(f'{setup_script(*texts)}echo "A=$A"\n')
    done = subprocess.run(
        ["/bin/bash", str(root / "script")],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        *(f"source ./{name}" for name in INNOCENT),
        ". ./last.sh",
        'source "$(pwd)/last.sh"',
        "source ./last.sh >/dev/null 2>&1",
        "command source ./last.sh",
        "D=.; source $D/last.sh",
        "B=1 C=/a/b source ./last.sh",
        'eval "$(cat last.sh)"',
        'eval "$(cat count_last.sh)"',
        "module() { false; export A=1; }; module load x",
        "[ -f /etc/nothing ] && . /etc/nothing; export A=1",
        "export A=$(false; echo 1)",
        'export A="$(false || echo 1)"',
        "export A=$(false) || true; A=1",
        "A=1; (cd /nope; true)",
        "source ./false.sh || true",
        "if source ./false.sh; then A=2; fi",
    ],
)
def test_login_shell_behaviour_is_no_failure(root: Path, line: str) -> None:
    assert outcome(root, line) == ["A=1"]
    # And a line behind it that fails is found, whatever a file left.
    assert outcome(root, line, "false") == ["failed", "m.yaml:2", "1", ""]


def test_a_login_shell_that_wants_posix(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function cannot be called `exit` then, and every submit was refused."""
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    script = root / "posix"
    script.write_text(f"{setup_script('source ./last.sh')}exec env\n")
    ran = subprocess.run(
        ["/bin/bash", str(script)], cwd=root, capture_output=True, text=True, check=True
    )
    assert {"A=1", "POSIXLY_CORRECT=1"} <= {*ran.stdout.splitlines()}
    assert outcome(root, "source ./last.sh", "false") == ["failed", "m.yaml:2", "1", ""]


@pytest.mark.parametrize("name", GUILTY)
def test_a_failure_in_a_file_names_its_line(root: Path, name: str) -> None:
    _, code, place = GUILTY[name]
    said = outcome(root, f"source ./{name}", "export A=2")
    assert said == ["failed", "m.yaml:1", str(code), place and f"./{place}"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("false", 1),
        ("exit 3", 3),
        ("exit 0", 0),
        ("cd /nonexistent", 1),
        ("exec 2>/dev/null; false", 1),
        ("set -u; echo $NOPE", 1),
        ("source ./missing.sh", 1),
        (". missing.sh", 1),
        ("[ '' ] && true; source ./missing.sh", 1),
        ("export X=$(false)", 1),
        ("export X=`false`", 1),
        ('export X="$(cat /nope)"', 1),
        ("export X=$(dirname $(nosuchprogram))", 1),
        ("X=$(exit 7)", 7),
        ('eval "$(nosuchprogram)"', 1),
        ('eval "false"', 1),
        ('eval "$(cat false.sh)"', 1),
        ("test -e factor", 1),
        ("((n=0))", 1),
        ("module() { return 4; }; module load x", 4),
        ("for i in 1 2; do false; done", 1),
        ("source ./last.sh; false", 1),
        ("trap - EXIT; false", 1),
    ],
)
def test_a_failure_inside_a_line_is_detected(root: Path, line: str, code: int) -> None:
    assert outcome(root, "true", line, "export A=2") == ["failed", "m.yaml:2", str(code), ""]


def test_lines_may_be_parts_of_one_command(root: Path) -> None:
    assert outcome(root, "for A in 1 2; do", "  true", "done") == ["A=2"]


def test_the_shell_is_left_as_the_lines_made_it(root: Path) -> None:
    """The worker's environment and options are theirs; nothing of ours is exported."""
    (root / "show.sh").write_text("declare -F exit; trap -p; echo $-; env | grep -c hpcsweep_\n")
    plain = subprocess.run(
        ["/bin/bash", "show.sh"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    (root / "script").write_text(f"{setup_script('export B=1')}. ./show.sh\n")
    done = subprocess.run(
        ["/bin/bash", "script"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == plain
