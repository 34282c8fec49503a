"""The numbers behind sources: counter-based streams, permutations, elementary functions.

Pure functions, the same bits on every machine (DESIGN invariant 3).
"""
