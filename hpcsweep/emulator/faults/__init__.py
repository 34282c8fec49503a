"""Faults on order: which chance is struck by which fault, as a function of a seed.

Nothing here acts on a job; the scheduler in `emulator.daemon` carries the faults out.
"""
