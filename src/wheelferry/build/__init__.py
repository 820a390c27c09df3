"""From a recipe to locked wheels: one file a step."""
