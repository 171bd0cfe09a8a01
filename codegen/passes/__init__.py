"""Graph-to-graph passes: one pure function per file, listed in codegen/lower/pipeline.py."""
