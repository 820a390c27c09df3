"""Looks at a machine and writes its profile: what an installation on it depends on."""
