"""Data sets of labelled pictures: what is wrong with one, and the same as COCO JSON."""
