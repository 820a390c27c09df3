"""The folder that travels: what goes into it, and how."""
