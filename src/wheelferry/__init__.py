"""Build, lock, bundle and prove compiled Python stacks for machines that have no network."""

__version__ = "0.1.0"
