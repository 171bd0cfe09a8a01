"""LZ4 blocks; docs/format.md, "Coded streams".

The block format is https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, encoded by the
reference library.
"""

from __future__ import annotations

from lz4 import block

from codegen.errors import UserError
from codegen.formats.base import ROLES, Codec, Stream

COMPRESSION = 12
"""The library's strongest setting; the decoder's work does not depend on it."""

CHECK_INSTRUCTIONS = 11.6
"""Per position byte that was decoded: nothing else has checked it."""


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


class Lz4(Codec):
    """The bytes of a stream as one block."""

    name = "lz4"
    roles = ROLES
    decoder_bytes = 490
    byte_instructions = 3.0

    def encode(self, stream: Stream) -> bytes:
        """Return the block."""
        return encode(stream.array.tobytes())

    def instructions(self, stream: Stream) -> float:
        """Return the instructions of decoding; positions are checked afterwards."""
        checked = CHECK_INSTRUCTIONS if stream.role == "positions" else 0.0
        return (self.byte_instructions + checked) * stream.array.nbytes


CODEC = Lz4()
