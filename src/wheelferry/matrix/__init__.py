"""Which cells work: recorded, shown, and built by CI."""
