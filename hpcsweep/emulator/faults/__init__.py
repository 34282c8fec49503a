"""Fault injection: which faults strike, as a function of a seed.

This package only decides; the scheduler in `emulator.daemon` executes the faults.
"""
