"""Draw test images from class folders that come without any, the same ones every time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping

from codegen.errors import UserError

SHARE = 0.2
"""Of the images, where the user names no share."""


def content_hash(content: bytes) -> int:
    """Return 64 bits that depend on a file's content alone."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def draw(hashes: Mapping[str, int], labels: Mapping[str, int], share: float) -> dict[str, str]:
    """Return file name -> "train" or "test": test where the hash lies in the lowest ``share``.

    A file stays where it is when others are added, and copies of a file go together. A class to
    which chance leaves no image of a split gives it the one nearest to the limit.

    Args:
        hashes: :func:`content_hash` of every file.
        labels: class of every file, each with at least two.
        share: of test images, 0..1 exclusive.
    """
    limit = share * 2.0**64
    drawn = {name: "test" if value < limit else "train" for name, value in hashes.items()}
    members: dict[int, list[str]] = defaultdict(list)
    for name, label in labels.items():
        members[label].append(name)
    for names in members.values():
        ordered = sorted(names, key=lambda name: (hashes[name], name))
        if {drawn[name] for name in names} == {"train"}:
            drawn[ordered[0]] = "test"
        elif {drawn[name] for name in names} == {"test"}:
            drawn[ordered[-1]] = "train"
    return drawn


def refuse_share(test_share: float, why: str) -> None:
    """Refuse a share of test images for data that has test images of its own.

    Raises:
        UserError: ``test_share`` is not 0.
    """
    if test_share:
        raise UserError(
            "--test-share",
            why,
            got=test_share,
            expected="none",
            action="Leave it out",
        )
