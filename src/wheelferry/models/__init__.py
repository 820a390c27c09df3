"""Values and decisions without I/O: what is asked for, what is planned, what was found."""
