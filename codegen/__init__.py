"""Compile an integer graph into a C project and run it; knows NumPy, never torch."""
