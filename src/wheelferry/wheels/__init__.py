"""Reading, checking and rewriting wheels, and their licences."""
