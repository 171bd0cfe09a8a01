"""Count what the emulated core executes: the QEMU plugin, its builder and its reader."""
