"""Run directories: `Logbook` writes one, readers open it, `run_directory` publishes a case's."""

from hpcsweep.logbook.logbook import Logbook

__all__ = ["Logbook"]
