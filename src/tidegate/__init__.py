"""Tidegate: an API gateway for Python teams."""

__version__ = "0.1.0"
