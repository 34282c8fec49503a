"""Polls a sweep's status once a second while a cluster fails, and compares it with the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Self

from tests.support.container_cluster import ContainerCluster

# A poll of Slurm each second, and the shortest grace that a slow machine keeps.
SETTINGS = "HPCSWEEP_QUERY_INTERVAL_S=1 HPCSWEEP_GRACE_S=5"
# Prints the time and the document, or the time and what the command complained of.
SCRIPT = """\
while test ! -e {directory}.watched; do
    answer=$({settings} hpcsweep status {directory} --json 2>&1 | tr -d '\\n')
    printf '%s %s\\n' "$(date +%s.%N)" "$answer"
    sleep 1
done
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The output of one `status --json`; `document` is None if it ended with an error."""

    time: float
    text: str
    document: dict[str, Any] | None


@dataclass
class StatusWatch:
    """Answers of `status --json` about one sweep. Use it in a `with` block."""

    cluster: ContainerCluster
    directory: str
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Self:
        script = SCRIPT.format(directory=self.directory, settings=SETTINGS)
        self._process = self.cluster.start(script)
        self._reader = Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.run(f"touch {self.directory}.watched")
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            time, _, text = line.rstrip("\n").partition(" ")
            document = json.loads(text) if text.startswith("{") else None
            self.answers.append(Answer(time=float(time), text=text, document=document))

    @property
    def documents(self) -> list[Answer]:
        """The answers that are a document."""
        return [answer for answer in self.answers if answer.document is not None]

    @property
    def last(self) -> dict[str, Any]:
        """The newest document; its counts are empty before the first."""
        documents = self.documents
        return documents[-1].document or {} if documents else {"counts": {"complete": 0}}

    def check(self, ends: list[float]) -> None:
        """Check that no answer counts a case as failed, or more cases as complete than had ended.

        `ends` are the times at which cases ended for the first time.
        """
        for answer in self.documents:
            assert answer.document is not None
            counts = answer.document["counts"]
            ended = sum(end <= answer.time for end in ends)
            assert counts["failed"] == 0, answer.text
            assert counts["complete"] <= ended, f"{ended} cases had ended: {answer.text}"
            assert answer.document["complete"] == (counts["complete"] == len(ends)), answer.text
