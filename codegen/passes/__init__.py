"""Graph-to-graph passes: one pure function per file, listed in codegen/pipeline.py."""
