"""Holds cpp_extension, as in torch."""
