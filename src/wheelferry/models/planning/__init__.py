"""What will be built for which target, decided before anything is touched; no I/O."""
