"""Results as tables and figures: rows in index order, which of them, and in which format.

Reads the store and the source, never run directories, and writes nothing but what it was asked for.
"""
