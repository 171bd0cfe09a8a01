"""Draw test data from data that comes without any, the same every time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.datasets._reading.source import listing_of

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


def test_mask(
    groups: NDArray[np.str_],
    named: tuple[str, ...],
    share: float,
    where: str,
    key: str = "test_groups",
) -> tuple[NDArray[np.bool_], str]:
    """Return which windows are test data, and a sentence that says so.

    Args:
        groups: of each window.
        named: the test groups; empty: drawn by the hash of their names.
        share: of the groups that are drawn; 0 is a default.
        where: what describes the data, for messages.
        key: what names the test groups there.

    Raises:
        UserError: named groups that are not there, a share beside them, or one group alone.
    """
    found = sorted(set(groups.tolist()))
    if named:
        refuse_share(share, f"{where} names the test groups")
        _check_test_groups(f"{where}, {key}", named, set(found))
        chosen = list(named)
        how = "as named"
    else:
        if len(found) < 2:
            raise UserError(
                where,
                "one group cannot be split into training and test data",
                got=", ".join(found),
                expected="two groups or more, such as users",
                action="Name a column or a part of the file names that tells groups apart",
            )
        count = min(max(1, round((share or SHARE) * len(found))), len(found) - 1)
        ordered = sorted(found, key=lambda name: (content_hash(name.encode()), name))
        chosen = sorted(ordered[:count])
        how = "drawn by the hash of their names: the same ones every time"
    mask: NDArray[np.bool_] = np.isin(groups, chosen)
    return mask, f"test groups, {how}: {listing_of(chosen)} ({mask.sum()} of {len(mask)} windows)"


def _check_test_groups(where: str, named: tuple[str, ...], found: set[str]) -> None:
    """Refuse names of test groups that are not there, or that are all.

    Raises:
        UserError: says which there are.
    """
    missing = [name for name in named if name not in found]
    if missing or not found - set(named):
        raise UserError(
            where,
            "no such group" if missing else "no group is left to train on",
            got=listing_of(missing or named),
            expected=f"some of {listing_of(sorted(found))}",
            action="Change it",
        )
