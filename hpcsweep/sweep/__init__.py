"""`Sweep`: the verbs of the command line for a notebook or a script."""

from __future__ import annotations

from hpcsweep.sweep.results import ResultVerbs
from hpcsweep.sweep.submitting import SubmitVerbs
from hpcsweep.sweep.whole import WholeVerbs


class Sweep(SubmitVerbs, ResultVerbs, WholeVerbs):
    """A sweep by name: from a source and a target, from a manifest, or one submitted before.

    The constructor writes nothing; `submit` does. Every method *raises* the errors of `errors`.

    >>> import hpcsweep as hs
    >>> sweep = hs.Sweep("doc", hs.grid(x=[1, 2]), target="math:sqrt")
    >>> sweep.n_cases
    2
    """
