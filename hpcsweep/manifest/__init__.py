"""The manifest: `user` reads what people write, `frozen` is what a sweep keeps of it.

The worker reads `frozen` with the standard library only; all else here is the submitting side's.
"""
