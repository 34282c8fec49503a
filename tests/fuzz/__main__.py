"""`python -m tests.fuzz --seconds 3600`: every reader, led by coverage where atheris is installed.

Each reader gets its share of the time in a process of its own, because libFuzzer ends the process
at the first finding. Without atheris the same damage is done at random. Exit code 1: a finding.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.readers import Reader

# Bytes of what is put in a file's place.
LARGEST = 1 << 16


def loaded() -> ModuleType:
    """The readers, with hpcsweep instrumented where atheris is."""
    if not importlib.util.find_spec("atheris"):
        return importlib.import_module("tests.support.readers")
    import atheris  # noqa: PLC0415  # a dependency of this program alone

    with atheris.instrument_imports(include=["hpcsweep"]):
        return importlib.import_module("tests.support.readers")


def at_random(readers: ModuleType, reader: Reader, seconds: float) -> int:
    """Change some bytes of the file again and again. Returns how often."""
    whole, count, end = reader.path.read_bytes(), 0, time.monotonic() + seconds
    chance = random.Random(count)
    while time.monotonic() < end:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            piece = chance.choice([b"", b"\0", b"-", b"9" * 20, b"\xff", chance.randbytes(4)])
            data[at : at + chance.choice([0, 1, 1, 4, 100])] = piece
        readers.try_reader(reader, bytes(data))
        count += 1
    return count


def led_by_coverage(readers: ModuleType, reader: Reader, corpus: Path, seconds: float) -> None:
    """Hand the reader to libFuzzer, which ends this process."""
    import atheris  # noqa: PLC0415  # as above

    (corpus / "whole").write_bytes(reader.path.read_bytes())
    options = [f"-max_total_time={int(seconds)}", f"-max_len={LARGEST}", "-timeout=60"]
    options += ["-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup(["fuzz", *options, str(corpus)], lambda data: readers.try_reader(reader, data))
    atheris.Fuzz()


def fuzz_one(name: str, seconds: float, root: Path) -> None:
    """One reader, in this process, with its files in `root`, which the caller removes."""
    readers = loaded()
    reader = readers.make_readers(root)[name]
    if importlib.util.find_spec("atheris"):
        corpus = root / "corpus"
        corpus.mkdir()
        led_by_coverage(readers, reader, corpus, seconds)
    print(f"{name}: {at_random(readers, reader, seconds)} changed files")


def main() -> int:
    """Give every reader its share. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--only", metavar="READER")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.root:
        fuzz_one(arguments.only, arguments.seconds, arguments.root)
        return 0
    readers = loaded()
    with tempfile.TemporaryDirectory(prefix="hf-", dir=readers.HERE) as root:
        names = [arguments.only] if arguments.only else list(readers.make_readers(Path(root)))
    share = arguments.seconds / len(names)
    print(f"{len(names)} readers, {share:.0f} s each", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", f"--seconds={share}"]
    found = []
    for name in names:
        # libFuzzer ends its process without removing what that made.
        with tempfile.TemporaryDirectory(prefix="hf-", dir=readers.HERE) as root:
            done = subprocess.run(
                [*command, f"--only={name}", f"--root={root}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        said = done.stdout.decode(errors="replace")
        marks = ("number_of_executed_units", "changed files")
        runs = [line for line in said.splitlines() if any(mark in line for mark in marks)]
        print(f"{name}: exit code {done.returncode}, {' '.join(runs)}", flush=True)
        if done.returncode:
            found.append(name)
            print(said[-5000:], flush=True)
    print(f"findings: {', '.join(found) or 'none'}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
