"""Run directories: a `Logbook` writes one, readers open it, `run` begins and publishes a case's."""

from hpcsweep.logbook.logbook import Logbook

__all__ = ["Logbook"]
