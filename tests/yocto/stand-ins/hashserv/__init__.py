"""Stands in for bitbake's hash server, which the package on PyPI imports and does not bring; nothing here starts it."""
