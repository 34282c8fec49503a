"""The shape of the code: what a reader may rely on without reading all of it.

Each rule is a function from a file to the places that break it; the lists below are the only
exceptions. Every rule is tried on text that breaks it, so that none of them sleeps.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.task_files import TASK_FILES

REPOSITORY = Path(__file__).parents[2]
PACKAGE = sorted(REPOSITORY.glob("hpcsweep/**/*.py"))
TESTS = sorted(path for path in REPOSITORY.glob("tests/**/*.py") if "data" not in path.parts)
SUPPORT = [path for path in TESTS if "support" in path.parts]

LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 70
# The seams that start processes: Slurm's programs, the cases of a task, the emulated Slurm, and
# the fresh interpreter that tries a target before anything is sent.
STARTS_PROCESSES = (
    *("cluster/process.py", "worker/", "emulator/"),
    # The script of an array, where submitit starts it.
    "cluster/submitit/chunk.py",
    # A user's own program, by `log.subprocess`.
    "logbook/programs.py",
    # A program as a function, in a call of an executor.
    "executor/submitit_calls.py",
    # Git is asked which code it is, once per submission.
    "provenance.py",
    # Slurm's programs, for other people's tests.
    "testing/slurm.py",
    # A private PostgreSQL: initdb, the server, pg_dump.
    "database/programs.py",
    # Another host: ssh, and rsync.
    *("far/ssh.py", "far/rsync.py"),
    # The table of a cache is filled by a program that may import the user's model.
    "cache/run_fill.py",
    # Forks that make the rows of a large first ingest, or merge them.
    "store/pieces.py",
)
# Settings are merged once, at the two doors; a task reads what Slurm tells it; a child process
# inherits the rest.
READS_ENVIRONMENT = (
    *("settings.py", "cli/context.py", "sweep/", "worker/", "emulator/"),
    # The URL of a database may be in no file at all.
    *(
        "cluster/pbs/environment.py",
        "cluster/slurm/environment.py",
        "submission/doctor.py",
        "store/location.py",
        # PostgreSQL's own variables, and those of a server's job.
        "database/programs.py",
        "database/service_file.py",
        "database/job.py",
    ),
    # What PYTHONPATH says is a reason for a file to be found first.
    "shadowed_modules.py",
    # In a task a cache writes no table.
    "cache/store.py",
    # ssh has the environment of the user, but for what it asks.
    "far/ssh.py",
    # Only in a task is there a call to make, and what it knows of the task.
    *("executor/task.py", "executor/submitit_calls.py"),
    # Only in a task does a case survive TERM, to save its state.
    "logbook/stop_request.py",
    # What is started while a user's module is imported.
    "importing.py",
    # What a terminal and its user say about colours.
    "cli/render/console.py",
)
# Where the user's code runs: whatever it raises is its outcome, not a failure of ours.
CATCHES_ALL = (
    "worker/function.py",
    "worker/cases.py",
    "worker/restore.py",
    "worker/inherited.py",
    "worker/local.py",
    "user_import.py",
    "submission/check.py",
    "sources/references.py",
    "logbook/json_values.py",
    "cache/bulk_runs.py",
    "search/study.py",
    "executor/pickles.py",
)
SLEEPS = ("tests/support/wait.py",)

# A command that takes a sweep, before its argument.
PROPOSAL = re.compile(
    r"hpcsweep (advance|archive|cancel|collect|copy|efficiency|files|ingest|logs|report|retry|rm"
    r"|status|unpack|view) $"
)

# On one worker, so that every file is parsed once.
pytestmark = pytest.mark.xdist_group("shape")

# os functions that make a process or become another program.
PROCESS_CALLS = ("fork", "forkpty", "system", "popen", "exec", "posix_spawn", "spawn")

Tree = ast.Module
Rule = Callable[[Tree], Iterator[int]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_functions(tree: Tree) -> Iterator[int]:
    """Functions of more than LINES_OF_A_FUNCTION lines, the docstring not counted."""
    for node in _functions(tree):
        doc = node.body[0] if ast.get_docstring(node) else None
        doc_lines = (doc.end_lineno or 0) - doc.lineno + 1 if doc else 0
        if (node.end_lineno or 0) - node.lineno + 1 - doc_lines > LINES_OF_A_FUNCTION:
            yield node.lineno


def process_starts(tree: Tree) -> Iterator[int]:
    """Imports and calls that start a process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        if {name.partition(".")[0] for name in names} & {"subprocess", "multiprocessing"}:
            yield node.lineno
    for name, line in _attributes(tree, "os"):
        if name.startswith(PROCESS_CALLS):
            yield line


def environment_reads(tree: Tree) -> Iterator[int]:
    """Uses of this process's environment."""
    for name, line in _attributes(tree, "os"):
        if name in ("environ", "environb", "getenv", "putenv"):
            yield line


def catch_alls(tree: Tree) -> Iterator[int]:
    """Handlers of everything that do not end by raising it again."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
        last = node.body[-1]
        again = isinstance(last, ast.Raise) and last.exc is None
        if (node.type is None or names & {"Exception", "BaseException"}) and not again:
            yield node.lineno


def sleeps(tree: Tree) -> Iterator[int]:
    """Calls of time.sleep."""
    yield from (line for name, line in _attributes(tree, "time") if name == "sleep")


def newer_python(tree: Tree) -> Iterator[int]:
    """What Python 3.9 lacks, and neither the linter nor the type checker reports."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in calls:
        name, keywords = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
        if name == "isinstance" and isinstance(node.args[1], ast.BinOp):
            yield node.lineno
        if (name == "zip" and "strict" in keywords) or ("bisect" in name and "key" in keywords):
            yield node.lineno
    imported = [line for name, line in _attributes(tree, "dataclasses") if name == "dataclass"]
    for node in calls:
        keywords = {keyword.arg for keyword in node.keywords}
        if imported and _makes_dataclass(node) and keywords & {"kw_only", "slots"}:
            yield node.lineno  # `older_python` has one that knows them


def unlocated_sweeps(tree: Tree) -> Iterator[int]:
    """Proposed commands whose sweep is not located by `argument_for` or a quoted path.

    By its name alone a sweep that was moved, or is in another directory, is not found.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for before, after in pairwise(node.values):
                proposes = isinstance(before, ast.Constant) and PROPOSAL.search(str(before.value))
                if proposes and isinstance(after, ast.FormattedValue):
                    located = ast.unparse(after.value) == "argument"
                    if not (located or isinstance(after.value, ast.Call)):
                        yield after.lineno


def silent(tree: Tree) -> Iterator[int]:
    """Public classes and functions without a docstring; an override speaks through its base."""
    return _silent(tree, _documented_methods())


def plain_fields(tree: Tree, text: str) -> Iterator[int]:
    """Fields of dataclasses without a comment above them."""
    lines = text.splitlines()
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef) and any(map(_makes_dataclass, owner.decorator_list)):
            for node in owner.body:
                above = lines[node.lineno - 2].strip()
                if isinstance(node, ast.AnnAssign) and not above.startswith("#"):
                    yield node.lineno


def test_files_are_short() -> None:
    # A file of tests is a table that grows by a case for every mistake that was ever made.
    lengths = {_name(path): len(path.read_text().splitlines()) for path in PACKAGE + SUPPORT}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FILE} == {}


def test_functions_are_short() -> None:
    assert _broken(long_functions, PACKAGE + TESTS) == []


def test_processes_start_in_the_seams_only() -> None:
    assert _broken(process_starts, PACKAGE, STARTS_PROCESSES) == []


def test_proposed_commands_find_their_sweep() -> None:
    assert _broken(unlocated_sweeps, PACKAGE) == []


def test_the_environment_is_read_in_few_places() -> None:
    assert _broken(environment_reads, PACKAGE, READS_ENVIRONMENT) == []


def test_everything_is_caught_in_one_place_only() -> None:
    assert _broken(catch_alls, PACKAGE, CATCHES_ALL) == []


def test_tests_wait_instead_of_sleeping() -> None:
    assert _broken(sleeps, TESTS, SLEEPS) == []


def test_tasks_run_in_an_older_python() -> None:
    own = ("older_python.py",)
    assert _broken(newer_python, TASK_FILES, own) == []


def test_public_names_have_docstrings() -> None:
    assert _broken(silent, PACKAGE) == []


def test_a_class_has_a_name_of_its_own() -> None:
    # `compat` has the names of today's classes on purpose: programs import the one or the other.
    paths = [path for path in PACKAGE if path.name != "compat.py"]
    owners: dict[str, list[str]] = {}
    for path in paths:
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.ClassDef):
                owners.setdefault(node.name, []).append(_name(path))
    assert {name: where for name, where in owners.items() if len(where) > 1} == {}


def test_each_field_of_a_record_has_its_comment() -> None:
    text = (REPOSITORY / "hpcsweep/records.py").read_text()
    assert list(plain_fields(ast.parse(text), text)) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * LINES_OF_A_FUNCTION),
        (process_starts, "import subprocess"),
        (process_starts, "from subprocess import run"),
        (process_starts, "import os; os.posix_spawn('a', [], {})"),
        (unlocated_sweeps, "f'`hpcsweep logs {sweep.name} 3`'"),
        (unlocated_sweeps, "f'{x} or `hpcsweep ' f'rm {name}`'"),
        (environment_reads, "import os; os.environ['A']"),
        (environment_reads, "from os import environ"),
        (catch_alls, "try: f()\nexcept Exception: pass"),
        (catch_alls, "try: f()\nexcept (ValueError, BaseException) as e: raise X from e"),
        (catch_alls, "try: f()\nexcept: pass"),
        (sleeps, "import time; time.sleep(1)"),
        (sleeps, "from time import sleep"),
        (newer_python, "isinstance(x, int | str)"),
        (newer_python, "zip(a, b, strict=True)"),
        (newer_python, "bisect_right(a, b, key=c)"),
        (newer_python, "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: ..."),
        (silent, "def f(): pass"),
        (silent, "class A:\n    def f(self): pass\n    'A'"),
    ],
)
def test_a_rule_sees_what_breaks_it(rule: Rule, text: str) -> None:
    assert list(rule(ast.parse(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_functions, "def f():\n    '''" + "a\n" * 99 + "'''\n    x = 1"),
        (unlocated_sweeps, "f'{name}: hpcsweep logs {argument} {index}, hpcsweep plan {path}'"),
        (unlocated_sweeps, "f'hpcsweep rm {shlex.quote(path)}'"),
        (catch_alls, "try: f()\nexcept BaseException:\n    g()\n    raise"),
        (
            newer_python,
            "from hpcsweep.older_python import dataclass\n@dataclass(slots=True)\nclass A: ...",
        ),
        (silent, "def _f(): pass\nclass A:\n    'A.'\n    def __len__(self): pass"),
        (silent, "class A:\n    'A.'\n    def f(self): 'F.'\nclass B(A):\n    'B.'\n    f = A.f"),
    ],
)
def test_a_rule_lets_the_rest_pass(rule: Rule, text: str) -> None:
    assert list(rule(ast.parse(text))) == []


def test_a_field_without_a_comment_is_seen() -> None:
    text = "@dataclass(frozen=True)\nclass A:\n    # Count of a.\n    a: int\n    b: int\n"
    assert list(plain_fields(ast.parse(text), text)) == [5]


def _broken(rule: Rule, paths: list[Path], allowed: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{_name(path)}:{line}"
        for path in paths
        if not _name(path).removeprefix("hpcsweep/").startswith(allowed or ("\0",))
        for line in rule(_parsed(path))
    ]


@cache
def _parsed(path: Path) -> Tree:
    return ast.parse(path.read_text())


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _functions(tree: Tree) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _attributes(tree: Tree, module: str) -> Iterator[tuple[str, int]]:
    """What is used of a module: `os.x` and `from os import x`, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == module:
                yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            yield from ((name.name, node.lineno) for name in node.names)


def _makes_dataclass(decorator: ast.expr) -> bool:
    return "dataclass" in ast.unparse(decorator)


def _silent(
    tree: Tree | ast.ClassDef,
    documented: dict[str, set[str]],
    inherited: frozenset[str] = frozenset(),
) -> Iterator[int]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.lineno
            bases = {ast.unparse(base).rpartition(".")[2].partition("[")[0] for base in node.bases}
            names = frozenset().union(*(documented.get(base, set()) for base in bases))
            yield from _silent(node, documented, names)
        if isinstance(node, Function) and not node.name.startswith("_"):
            marks = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
            spoken = ast.get_docstring(node) or node.name in inherited
            if not spoken and not marks & {"overload", "setter"}:
                yield node.lineno


@cache
def _documented_methods() -> dict[str, set[str]]:
    """Names of the methods with a docstring by class, over the whole package.

    With what its bases document, however far up.
    """
    classes = [
        node
        for path in PACKAGE
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.ClassDef)
    ]
    found: dict[str, set[str]] = {}
    for node in classes:
        methods = [one for one in node.body if isinstance(one, Function)]
        found[node.name] = {one.name for one in methods if ast.get_docstring(one)}
    for _ in range(3):  # no deeper than this
        for node in classes:
            for base in map(ast.unparse, node.bases):
                found[node.name] |= found.get(base, set())
    return found
