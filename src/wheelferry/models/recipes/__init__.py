"""What a recipe says: its fields, and the file they are read from."""
