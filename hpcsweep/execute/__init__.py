"""Running one case: a slot and its child processes, for the worker and for `hpcsweep run`."""
