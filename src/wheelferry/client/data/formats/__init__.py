"""The formats of labelled data sets, and what their files are read with."""
