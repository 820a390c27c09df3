"""The static level: what a bundle's files say, without running anything."""
