"""Split windows into training and test data, whole groups (users, speakers, machines) at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.datasets._description import check_test_groups
from nestnet.datasets._split import SHARE, content_hash, refuse_share


def test_mask(
    groups: NDArray[np.str_], named: tuple[str, ...], share: float, where: str
) -> tuple[NDArray[np.bool_], str]:
    """Return which windows are test data, and a sentence that says so.

    Args:
        groups: of each window.
        named: the test groups; empty: drawn by the hash of their names.
        share: of the groups that are drawn; 0 is a default.
        where: what describes the data, for messages.

    Raises:
        UserError: named groups that are not there, a share beside them, or one group alone.
    """
    found = sorted(set(groups.tolist()))
    if named:
        refuse_share(share, f"{where} names the test groups")
        check_test_groups(where, named, set(found))
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
    return mask, f"test groups, {how}: {', '.join(chosen)} ({mask.sum()} of {len(mask)} windows)"
