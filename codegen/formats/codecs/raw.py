"""A stream as kernels read it: nothing is decoded."""

from __future__ import annotations

from codegen.formats.base import ROLES, Codec, Stream


class Raw(Codec):
    """The bytes themselves."""

    name = "raw"
    roles = ROLES
    decoder_bytes = 0
    byte_instructions = 0.0

    def encode(self, stream: Stream) -> bytes:
        """Return the stream's bytes."""
        return stream.array.tobytes()

    def size_bytes(self, stream: Stream) -> int:
        """Return the number of the stream's bytes."""
        return int(stream.array.nbytes)

    def instructions(self, stream: Stream) -> float:
        """Return 0."""
        return 0.0


CODEC = Raw()
