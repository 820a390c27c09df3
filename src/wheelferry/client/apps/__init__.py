"""What starts a recipe's programs in the installed environment."""
