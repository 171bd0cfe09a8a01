"""Build the instruction-counting QEMU plugin with the host's compiler, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from codegen import paths
from codegen.errors import UserError

_FLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden")


def host_compiler() -> str:
    """Return the host's C compiler: $CC_FOR_BUILD or the first of cc, gcc, clang.

    Raises:
        UserError: there is none.
    """
    for name in (os.environ.get("CC_FOR_BUILD", ""), "cc", "gcc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise UserError(
        "toolchain",
        "no C compiler for this computer",
        got="none of cc, gcc, clang on PATH",
        expected="one of them",
        action="Install one: sudo apt-get install gcc libc6-dev",
    )


def build() -> Path:
    """Return the compiled plugin, compiling it on first use.

    The file's name holds the hash of source, flags and compiler, so any change makes a new one.

    Raises:
        UserError: no compiler, or it refuses the source.
    """
    source = paths.plugin_source()
    compiler = host_compiler()
    key = hashlib.sha256()
    for part in (source.read_bytes(), " ".join(_FLAGS).encode(), compiler.encode()):
        key.update(part + b"\0")
    plugin = paths.cache() / f"count_blocks-{key.hexdigest()[:16]}.so"
    if plugin.exists():
        return plugin
    with tempfile.TemporaryDirectory(dir=plugin.parent) as folder:
        built = Path(folder) / plugin.name
        result = subprocess.run(
            [compiler, *_FLAGS, "-o", str(built), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise UserError(
                source.name,
                f"{compiler} cannot build the emulator plugin",
                got=result.stderr.strip()[-400:] or f"exit code {result.returncode}",
                expected="a shared library",
                action="Install the C library's headers: sudo apt-get install gcc libc6-dev",
            )
        built.replace(plugin)
    return plugin
