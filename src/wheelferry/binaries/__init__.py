"""What compiled files say of themselves."""
