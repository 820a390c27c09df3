"""Decides from a machine's profile whether a bundle's target would work there."""
