"""A package index over bundles."""
