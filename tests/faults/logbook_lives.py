"""Lives of a `Logbook`, an `Experiment` and a checkpoint, to be killed at each of their calls."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path

from hpcsweep import Experiment, ExperimentReader, Logbook, LogReader
from hpcsweep.errors import RunExists
from hpcsweep.files import is_temporary
from hpcsweep.logbook.checkpoint import Checkpoint
from hpcsweep.provenance import of_this_process

# Loaded once, not in each fork: provenance of the code, and the libraries of data frames.
of_this_process()
importlib.import_module("pandas")


def left_aside(base: Path) -> list[Path]:
    """Files that no reader sees and that no later run removes."""
    # The next call waits for a while for a claim that does not name its owner yet.
    found = [path for path in base.rglob(".aside/*/*") if path.is_file()]
    return [path for path in found if not is_temporary(path.name)]


OLD = {"which": "old", "long": "x" * 100}
NEW = {"which": "new", "long": "y" * 100}


class Begun:
    """A Logbook that may not overwrite: its directory is complete, or is made again."""

    def prepare(self, base: Path) -> None:
        """Nothing is there."""

    def live(self, base: Path) -> None:
        try:
            log = Logbook("r", base, {"a": 1.5}, preallocate=True)
        except RunExists:  # then it has begun, and whole
            self.look(base)
            assert (base / "log_r").exists()
            return
        log.json("metrics", {"x": 1})

    def look(self, base: Path) -> None:
        if (base / "log_r").exists():
            run = LogReader(base / "log_r")
            assert run.params == {"a": 1.5}
            assert run.meta["run_id"] == "r"
            assert run.status == "interrupted"
            assert "initialized" in (base / "log_r" / "log.txt").read_text()
            assert run.metrics in ({}, {"x": 1})

    def check(self, base: Path) -> None:
        self.look(base)
        assert left_aside(base) == []


class Overwriting:
    """A Logbook over an earlier one: readers see the files of one of them, complete."""

    def prepare(self, base: Path) -> None:
        with Logbook("r", base, OLD, capture=True) as log:
            log.json("metrics", {"which": "old"})
            log.text("stale", "old")
            sys.stdout.write("old\n")

    def live(self, base: Path) -> None:
        with Logbook("r", base, NEW, overwrite=True, capture=True) as log:
            log.meta(more=1)
            log.json("metrics", {"which": "new"})
            log.metric("loss", 0.5)
            log.metric("loss", 0.25, step=1)
            log.text("text", "new")
            log.array("numbers", [1, 2, 3])
            log.params(more=2)
            log.subprocess(["true"])
            sys.stdout.write("new\n")

    def look(self, base: Path) -> None:
        if not (base / "log_r").exists():  # the old one went, the new one comes
            return
        run = LogReader(base / "log_r")
        which = run.params["which"]
        assert run.params["long"] == {"old": "x", "new": "y"}[which] * 100
        assert run.metrics.get("which", which) == which
        assert run.status == "complete" or (which == "new" and run.status == "interrupted")
        assert ("artifacts/stale.txt" in run.files.names()) == (which == "old")
        if run.status == "complete" and which == "new":
            assert run.metrics == {"which": "new", "loss": 0.5}
        for name in run.files.names():
            if name.endswith(".json"):
                json.loads(run.read(name))

    def check(self, base: Path) -> None:
        self.look(base)
        run = LogReader(base / "log_r")
        assert run.status == "complete"
        assert run.params == {**NEW, "more": 2}
        assert run.load_array("numbers").tolist() == [1, 2, 3]
        assert run.read("stdout.txt") == b"new\n"
        assert left_aside(base) == []


class Failing(Overwriting):
    """A Logbook whose program fails."""

    def live(self, base: Path) -> None:
        Logbook("r", base, NEW, overwrite=True).mark_failed("out of luck")

    def look(self, base: Path) -> None:
        if (base / "log_r").exists():
            run = LogReader(base / "log_r")
            expected = {"old": ["complete"], "new": ["interrupted", "failed"]}
            assert run.status in expected[run.params["which"]]

    def check(self, base: Path) -> None:
        run = LogReader(base / "log_r")
        assert (run.status, run.meta["failure_reason"]) == ("failed", "out of luck")
        assert left_aside(base) == []


class Added:
    """An Experiment: three runs, of which two are there already, and its index."""

    def prepare(self, base: Path) -> None:
        exp = Experiment("e", base)
        with exp.add(x=1) or Logbook("none", base) as log:
            log.json("metrics", {"y": 1})
        (exp.add(x=2) or Logbook("none", base)).mark_failed("bad luck")
        exp.refresh()

    def live(self, base: Path) -> None:
        exp = Experiment("e", base)
        for x in (1, 2, 3):
            log = exp.add(x=x, skip_existing=True)
            if log is not None:
                with log:
                    log.checkpoint.save({"step": x})
                    log.json("metrics", {"y": x})
        exp.refresh()

    def look(self, base: Path) -> None:
        for run in ExperimentReader(base / "e"):
            assert run.status in ("complete", "failed", "interrupted")
            if run.status == "complete":
                assert run.metrics == {"y": run.params["x"]}
        frame = Experiment("e", base).to_dataframe()
        assert set(frame["x"]) >= {1}
        for _, row in frame.iterrows():
            assert row["status"] != "complete" or row["y"] == row["x"]

    def check(self, base: Path) -> None:
        self.look(base)
        assert [run.status for run in ExperimentReader(base / "e")] == ["complete"] * 3
        with (base / "e" / "index.csv").open(newline="") as stream:
            rows = sorted((row["x"], row["status"], row["y"]) for row in csv.DictReader(stream))
        assert rows == [(x, "complete", x) for x in "123"]
        assert left_aside(base) == []
        # Checkpoints of a complete run do not remain for the next one.
        assert not (base / "e" / "checkpoints" / "e_x_3").exists()


class Saved:
    """Checkpoints: the last one that was saved is there, and all of one clear or nothing."""

    def prepare(self, base: Path) -> None:
        checkpoint = Checkpoint(base / "c")
        checkpoint.save({"step": 0})
        checkpoint.save({"step": 0}, "other")

    def live(self, base: Path) -> None:
        checkpoint = Checkpoint(base / "c")
        step = (checkpoint.load() or {"step": 0})["step"]
        for number in range(step + 1, 4):
            checkpoint.save({"step": number})
        with checkpoint.writing("own.txt") as path:
            path.write_text("whole\n" * 1000)
        checkpoint.clear()
        checkpoint.save({"step": 3})

    def look(self, base: Path) -> None:
        checkpoint = Checkpoint(base / "c")
        state, other = checkpoint.load(), checkpoint.load("other")
        assert (state is None) == (other is None) or state == {"step": 3}
        assert state is None or state["step"] in range(4)
        if checkpoint.path("own.txt").exists():
            assert checkpoint.path("own.txt").read_text() == "whole\n" * 1000

    def check(self, base: Path) -> None:
        assert Checkpoint(base / "c").load() == {"step": 3}
        assert Checkpoint(base / "c").load("other") is None
        assert [path.name for path in base.iterdir()] == ["c"]


class Completed:
    """A complete run whose checkpoints remained: a run that overwrites it begins anew."""

    def prepare(self, base: Path) -> None:
        Logbook("r", base).checkpoint.save({"step": 9})

    def live(self, base: Path) -> None:
        there = (base / "log_r").exists()
        fresh = there and LogReader(base / "log_r").status == "complete"
        log = Logbook("r", base, {"anew": fresh}, overwrite=True)
        found = log.checkpoint.load()
        assert not (fresh and found), "the checkpoint of a complete run was found"
        log.mark_complete()

    def look(self, base: Path) -> None:
        if (base / "log_r").exists():
            assert LogReader(base / "log_r").status in ("interrupted", "complete")

    def check(self, base: Path) -> None:
        self.look(base)
        assert not (base / "checkpoints" / "r").exists()
