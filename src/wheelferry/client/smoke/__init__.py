"""Runs a project's checks and its training in the environment that was installed."""
