"""Manifests from the files of other tools: `registry` knows the tools, one module each."""
