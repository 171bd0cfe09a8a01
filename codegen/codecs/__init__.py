"""How weights lie in flash: one file per format with encode, decode and exact size."""
