"""Proof that a bundle is sound and installs, level by level."""
