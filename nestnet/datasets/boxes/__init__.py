"""Data sets of images with boxes: each public module of this package reads one layout."""
