"""Replaced by the version of the torch that will be shipped."""

__version__ = "0"
cuda = None
hip = None
