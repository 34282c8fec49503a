"""Results as tables and figures: select rows in index order, and write them in a format.

Reads the index and the source, never run directories. Writes only the requested output.
"""
