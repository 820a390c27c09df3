"""Everything that ships beside the project: the closure, its lock, and what needs torch to be built."""
