"""Recipes drafted from a name on the index, a repository, a folder or a source archive."""
