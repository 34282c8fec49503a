"""Experiments: many runs in one directory, and the index of them.

Apart from the rest of `logbook`, so that readers of the life of one case need not meet it. Every
sweep directory is an experiment, too: `reader` opens it.
"""
