"""What is known of packages and systems: the values of the tables in ``wheelferry/tables``."""
