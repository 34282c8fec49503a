"""`Sweep`: the verbs of the command line for a notebook or a script."""

from __future__ import annotations

from hpcsweep.sweep.reading import ReadingVerbs
from hpcsweep.sweep.results import ResultVerbs
from hpcsweep.sweep.submitting import SubmitVerbs
from hpcsweep.sweep.whole import WholeVerbs


class Sweep(SubmitVerbs, ReadingVerbs, ResultVerbs, WholeVerbs):
    """A sweep by name: from a source and a target, from a manifest, or one submitted before.

    The constructor writes nothing; `submit` does. Each verb of the command line is a method with
    the same name, arguments and errors.

    Raises:
        HpcsweepError: Every method raises the errors of `hpcsweep.errors`.

    Examples:
        >>> sweep = hs.Sweep("doc", hs.grid(x=[1, 2]), target="math:sqrt")
        >>> sweep.n_cases
        2
    """
