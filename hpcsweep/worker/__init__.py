"""The worker: one process per array task, standard library only (DESIGN invariant 17).

It never imports user code: `child` does, in a process forked by `slot`.
"""
