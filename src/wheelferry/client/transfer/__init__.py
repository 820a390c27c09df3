"""Applies a delta to an older bundle and joins the parts of a split one."""
