"""Holds hipify_python, as in torch; setup.py files of 2020 import it whether or not they build for ROCm."""

__version__ = "1.0.0"
