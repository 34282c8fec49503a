"""Results in the forms of other libraries: run directories, run records, tables of results.

`registry` finds out which form a path has; each form is one module.
"""
