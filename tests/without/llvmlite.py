"""Stands before llvmlite on the path (``.ci/run``): as where it is not installed."""

raise ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite")
