"""LZ4 blocks; docs/format.md, "Coded streams".

The block format is https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, encoded by the
reference library.
"""

from __future__ import annotations

from lz4 import block

from codegen.errors import UserError

COMPRESSION = 12
"""The library's strongest setting; the decoder's work does not depend on it."""


def encode(data: bytes) -> bytes:
    """Return ``data`` as one LZ4 block, without its size."""
    return bytes(
        block.compress(data, mode="high_compression", compression=COMPRESSION, store_size=False)
    )


def decode(stored: bytes, decoded_bytes: int) -> bytes:
    """Return the ``decoded_bytes`` bytes that an LZ4 block holds.

    Raises:
        UserError: the block is damaged or holds another number of bytes.
    """
    try:
        data = bytes(block.decompress(stored, uncompressed_size=decoded_bytes))
    except block.LZ4BlockError as error:
        raise _damaged(str(error), decoded_bytes) from error
    if len(data) != decoded_bytes:
        raise _damaged(f"{len(data)} bytes", decoded_bytes)
    return data


def _damaged(got: str, decoded_bytes: int) -> UserError:
    return UserError(
        "lz4 block",
        "damaged",
        got=got,
        expected=f"a well-formed block of {decoded_bytes} bytes",
        action="Generate the weights again",
    )
