"""Save and load ``.nestnet`` files: an integer graph in one safetensors file, no pickle.

The arrays are the file's tensors. Everything else is JSON in the single metadata entry
``nestnet``: ``{"schema_version", "content_sha256", "graph"}``. The hash is that of the whole file
with the hash's own 64 digits set to zero, so any damaged byte is noticed before anything is parsed.
Equal graphs give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as format_safetensors

from codegen.errors import UserError
from codegen.graph import ops as _ops  # noqa: F401  every operator there is
from codegen.graph.ir import SCHEMA_VERSION, Graph
from codegen.graph.migrate import migrated
from codegen.graph.serialize import RecordError, decode, encode
from codegen.graph.verify import verify

METADATA_KEY = "nestnet"
_HASH_MARKER = b'content_sha256\\":\\"'
"""What stands before the hash: JSON inside a JSON string, so its quotes are escaped."""

_HASH_DIGITS = 64
_ZERO_HASH = b"0" * _HASH_DIGITS


def to_bytes(graph: Graph) -> bytes:
    """Return the content of the file that holds ``graph``.

    Raises:
        UserError: the graph breaks a rule of :mod:`codegen.graph.verify`.
    """
    verify(graph, "saving")
    record, tensors = encode(graph)
    document = {
        "content_sha256": _ZERO_HASH.decode(),
        "graph": record,
        "schema_version": SCHEMA_VERSION,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"), sort_keys=True)
    blank = format_safetensors(tensors, metadata={METADATA_KEY: text})
    digest = hashlib.sha256(blank).hexdigest().encode()
    begin = blank.index(_HASH_MARKER) + len(_HASH_MARKER)
    return blank[:begin] + digest + blank[begin + _HASH_DIGITS :]


def from_bytes(data: bytes, where: str) -> Graph:
    """Return the graph stored in ``data``.

    Args:
        data: content of a file.
        where: what to call it in messages.

    Raises:
        UserError: damaged, of a newer version, or not a valid graph.
    """
    digest = _check_hash(data, where)
    try:
        tensors = parse_safetensors(data)
        text = _metadata(data)
        document = json.loads(text)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(where, f"unreadable: {error}", "a safetensors file") from None
    _check_version(document, where)
    expected = ["content_sha256", "graph", "schema_version"]
    if sorted(document) != expected:
        raise _damaged(where, sorted(document), f"the keys {expected}")
    if document["content_sha256"] != digest:
        raise _damaged(where, "another content_sha256", digest)
    try:
        record = migrated(document["graph"], document["schema_version"])
        graph: Graph = decode(Graph, record, tensors)
    except RecordError as error:
        raise _damaged(where, error.got, f"{error.expected} at {error.path}") from None
    return verify(graph, f"loading {where}")


def save(graph: Graph, path: Path) -> None:
    """Write ``graph`` to ``path``, whole or not at all.

    Raises:
        UserError: the graph breaks a rule, or the file cannot be written.
    """
    data = to_bytes(graph)
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise UserError(
            str(path),
            "cannot write",
            got=error.strerror,
            expected="a writable folder",
            action="Choose another folder",
        ) from None


def load(path: Path) -> Graph:
    """Return the graph stored at ``path``, verified.

    Raises:
        UserError: missing, damaged, of a newer version, or not a valid graph.
    """
    return from_bytes(_read(path), str(path))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the file at ``path`` in hexadecimal.

    Raises:
        UserError: the file cannot be read.
    """
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            str(path),
            "cannot read",
            got=error.strerror,
            expected="a .nestnet file",
            action="Run `nestnet train` first, or name an existing file",
        ) from None


def _damaged(where: str, got: object, expected: object) -> UserError:
    return UserError(
        where,
        "damaged .nestnet file",
        got=got,
        expected=expected,
        action="Export or copy the file again",
    )


def _check_hash(data: bytes, where: str) -> str:
    """Compare the stored hash with that of the data around it; return it."""
    marker = data.find(_HASH_MARKER)
    begin = marker + len(_HASH_MARKER)
    stored = data[begin : begin + _HASH_DIGITS]
    if marker < 0 or len(stored) < _HASH_DIGITS:
        raise _damaged(where, "no content hash", "a content hash in the header")
    digest = hashlib.sha256(data[:begin] + _ZERO_HASH + data[begin + _HASH_DIGITS :]).hexdigest()
    if stored != digest.encode():
        raise _damaged(where, f"content hash {digest}", stored.decode("ascii", "replace"))
    return digest


def _metadata(data: bytes) -> str:
    """Return the metadata entry; safetensors' bytes interface leaves it out.

    Raises:
        ValueError, KeyError, TypeError: there is no such entry, or another one beside it.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    if set(metadata) != {METADATA_KEY}:
        raise ValueError(f"the metadata are not {METADATA_KEY} alone")
    text: str = metadata[METADATA_KEY]
    return text


def _check_version(document: Any, where: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise _damaged(where, version, "a schema_version of at least 1")
    if version > SCHEMA_VERSION:
        raise UserError(
            where,
            "newer .nestnet file",
            got=f"schema version {version}",
            expected=f"at most {SCHEMA_VERSION}",
            action="Upgrade nestnet to read it",
        )
