"""Measure the shape of the package and the walks of its commands; print a Markdown table.

python -m tests.support.measure [REPOSITORY]      of this checkout, or of another one

A *walk* is the sequence of modules that the calls of one command pass through, recorded by a
profiler. A *stay* is one entry of it; a *return* enters a module that was left before.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[2]
TARGET = "def square(x):\n    return {'y': x * x}\n"
MANIFEST = "name: walk\ntarget: target.py:square\nchunk: 3\nsource:\n  grid: {x: [1, 2, 3]}\n"
# Runs a module as a program and writes which modules of the package its calls pass through.
TRACER = """
import json, os, runpy, sys
package, out, module, *arguments = sys.argv[1:]
walk = []
OPTIMIZED = 1  # of a function; bodies of modules and classes are run by an import
def profile(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package) and code.co_flags & OPTIMIZED:
        name = code.co_filename[len(package) + 1:-3].removesuffix("/__init__")
        if not walk or walk[-1] != name:
            walk.append(name)
sys.argv = [module, *arguments]
sys.setprofile(profile)
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    sys.setprofile(None)
    with open(out, "w") as stream:
        json.dump(walk, stream)
"""


def shape(repository: Path) -> Iterator[tuple[str, str]]:
    """Measures of the package's source text: name and figure."""
    package = repository / "hpcsweep"
    files = {path: path.read_text() for path in sorted(package.rglob("*.py"))}
    wings = Counter(
        relative.parts[0] if len(relative.parts) > 1 else "ground"
        for relative in (path.relative_to(package) for path in files)
    )
    yield "modules", str(len(files))
    yield (
        "modules per wing",
        ", ".join(f"{wing} {count}" for wing, count in sorted(wings.items())),
    )
    yield "files directly in the package", str(wings["ground"])
    lengths = {path: len(text.splitlines()) for path, text in files.items()}
    longest = max(lengths, key=lambda path: lengths[path])
    yield "lines of the package", str(sum(lengths.values()))
    yield "longest file", f"{longest.relative_to(package)}, {lengths[longest]} lines"
    yield "files over 300 lines", str(sum(lines > 300 for lines in lengths.values()))
    yield "longest function", _longest_function(files)
    yield "`# fmt: skip`", str(sum(text.count("# fmt: skip") for text in files.values()))
    typed = re.compile(r"dict\[str, Any\]")
    yield "`dict[str, Any]`", str(sum(len(typed.findall(text)) for text in files.values()))
    at_import, with_functions = _cycles(repository)
    yield "cycles between siblings at import", str(at_import)
    yield "cycles with imports in functions", str(with_functions)


def walks(repository: Path) -> Iterator[tuple[str, str]]:
    """How many modules four acts pass through: name, stays and returns."""
    with tempfile.TemporaryDirectory(prefix="measure-", dir="/tmp") as place:
        root = Path(place)
        (root / "target.py").write_text(TARGET)
        (root / "m.yaml").write_text(MANIFEST)
        environment = os.environ | {
            "PYTHONPATH": str(repository),
            "HOME": place,
            "XDG_STATE_HOME": f"{place}/state",
        }

        def hpcsweep(*arguments: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "hpcsweep", *arguments],
                cwd=root,
                env=environment,
                capture_output=True,
                check=False,
            )

        def walk(name: str, module: str, *arguments: str, **more: str) -> str:
            out = root / f"{name}.json"
            package = str(repository / "hpcsweep")
            done = subprocess.run(
                [sys.executable, "-c", TRACER, package, str(out), module, *arguments],
                cwd=root,
                env=environment | more,
                capture_output=True,
                text=True,
                check=False,
            )
            assert out.exists(), done.stdout + done.stderr
            modules = json.loads(out.read_text())
            stays, different = len(modules), len(set(modules))
            return f"{different} modules, {stays} stays, {stays - different} returns"

        submit = ("submit", "m.yaml", "--cluster", "emulated")
        hpcsweep("emulator", "start")
        yield "walk `submit`", walk("submit", "hpcsweep", *submit)
        hpcsweep(*submit, "--wait")
        sweep = str(root / "outputs" / "walk")
        yield "walk `collect`", walk("collect", "hpcsweep", "collect", "walk")
        slurm = {
            "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_JOB_ID": "1",
            "SLURM_ARRAY_JOB_ID": "1",
            "SLURM_CLUSTER_NAME": "emulated",
            "SLURM_RESTART_COUNT": "7",
        }
        for journal in Path(sweep).glob("journal/0001/*/*.jsonl"):
            journal.unlink()
        for published in Path(sweep).glob("runs/**/log_*"):
            published.rename(published.with_name(f".{published.name}"))
        yield (
            "walk of a task of three cases",
            walk("task", "hpcsweep.worker", sweep, "1", "0", **slurm),
        )
        (Path(sweep) / "store.sqlite3").unlink(missing_ok=True)
        yield "walk `ingest`", walk("ingest", "hpcsweep", "ingest", "walk")
        hpcsweep("emulator", "stop")


def _longest_function(files: dict[Path, str]) -> str:
    sizes = {
        f"{path.name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    name = max(sizes, key=lambda one: sizes[one])
    return f"{name}, {sizes[name]} lines; {sum(size > 40 for size in sizes.values())} over 40"


def _cycles(repository: Path) -> tuple[int, int]:
    """Packages of any level whose modules depend on each other in a circle."""
    graphs: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})
    package = repository / "hpcsweep"
    modules = {_module(path, repository): path for path in package.rglob("*.py")}
    for name, path in modules.items():
        at_top, everywhere = _imports(path, modules)
        graphs[0][name], graphs[1][name] = at_top, everywhere
    return _circles(graphs[0]), _circles(graphs[1])


def _module(path: Path, repository: Path) -> str:
    relative = path.relative_to(repository).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


def _imports(path: Path, modules: dict[str, Path]) -> tuple[set[str], set[str]]:
    """Modules of the package that a file imports at its top, and anywhere."""
    tree = ast.parse(path.read_text())
    imports: tuple[set[str], set[str]] = (set(), set())
    in_functions = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ast.walk(node)
    }
    typing = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {
                full if (full := f"{node.module}.{alias.name}") in modules else node.module
                for alias in node.names
            }
        else:
            continue
        for name in names & modules.keys():
            imports[1].add(name)
            if id(node) not in in_functions:
                imports[0].add(name)
    return imports


def _circles(graph: dict[str, set[str]]) -> int:
    """Groups of two and more siblings, at any level, that reach each other."""
    parents = {name.rpartition(".")[0] for name in graph if "." in name}
    return sum(_circles_of_siblings(graph, parent) for parent in parents)


def _circles_of_siblings(graph: dict[str, set[str]], parent: str) -> int:
    def child(name: str) -> str | None:
        if not name.startswith(f"{parent}."):
            return None
        return name.removeprefix(f"{parent}.").partition(".")[0]

    edges: dict[str, set[str]] = {}
    for name, imported in graph.items():
        importer = child(name)
        imported_children = {one for target in imported if (one := child(target))}
        if importer:
            edges.setdefault(importer, set()).update(imported_children - {importer})
    reached = {start: _reached(edges, start) for start in edges}
    groups = {
        frozenset({one, *(other for other in reached[one] if one in reached.get(other, ()))})
        for one in edges
        if one in reached[one]
    }
    return len(groups)


def _reached(edges: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += edges.get(one, ())
    return seen


if __name__ == "__main__":
    measured = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
    print("| measure | figure |\n|---|---|")
    for what, figure in (*shape(measured), *walks(measured)):
        print(f"| {what} | {figure} |")
