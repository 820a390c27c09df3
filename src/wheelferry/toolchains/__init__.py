"""Compilers, and what they are given: one file a compiler."""
