"""Bundles on their way: merged, signed, compared, as updates and as volumes."""
