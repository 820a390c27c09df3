"""Cells of the matrix, bundled and verified one after the other, and recorded."""
