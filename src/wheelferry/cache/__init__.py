"""What is downloaded or built once: the store, downloads, sources, and the tools that fill it."""
