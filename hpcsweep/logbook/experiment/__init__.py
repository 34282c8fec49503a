"""Experiments: many runs in one directory, and the index of them.

Separate from the rest of `logbook`, which needs none of it. Every sweep directory is an experiment,
too: `reader` opens it.
"""
