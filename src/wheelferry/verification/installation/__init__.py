"""The install level: the bundle is installed where nothing else is, and everything in it imported."""
