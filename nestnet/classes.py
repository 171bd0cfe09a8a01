"""Compare the class names a network was trained on with those of the data it meets.

A label is an index into a list of names, so a renamed, added or removed class shifts the labels of
others: nothing else would notice.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from codegen.errors import UserError

SHOWN = 20
"""Names listed in a message; of longer lists only what differs."""


def same_text(name: str) -> str:
    """Return ``name`` in Unicode's composed form, in which names that look alike are equal."""
    return unicodedata.normalize("NFC", name)


def check_classes(where: str, trained: Sequence[str], found: Sequence[str], action: str) -> None:
    """Refuse data whose classes are not the ones a network was trained on, in the same order.

    Args:
        where: what was trained, for the message.
        trained: the network's names, one per logit.
        found: the names of the data.
        action: what the user can do.

    Raises:
        UserError: another number of classes, other names or another order.
    """
    before, now = ([same_text(name) for name in names] for names in (trained, found))
    if before == now:
        return
    raise UserError(
        where,
        "the data's classes are not those the network was trained on",
        got=_listing(now, before),
        expected=_listing(before, now),
        action=action,
    )


def check_text(names: Sequence[str]) -> None:
    """Refuse names that are no text.

    Raises:
        UserError: there is one.
    """
    for index, name in enumerate(names):
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(
                f"class {index}",
                "its name is not text",
                got=name.encode("utf-8", "backslashreplace").decode(),
                expected="a name in UTF-8",
                action="Rename its folder",
            ) from None


def check_names(where: str, names: Sequence[str], outputs: int) -> None:
    """Refuse a list of class names that does not name each of ``outputs`` logits.

    Raises:
        UserError: another number of names, or two that are alike.
    """
    if len(names) != outputs:
        raise UserError(
            where,
            "not one name per output",
            got=f"{len(names)}: {_listing(names, ())}",
            expected=f"{outputs} names, as many as the network has outputs",
            action="Name every class once, in the order of the labels, or leave the names out",
        )
    composed = [same_text(name) for name in names]
    twice = sorted({name for name in composed if composed.count(name) > 1})
    if twice:
        raise UserError(
            where,
            "two classes of one name",
            got=", ".join(map(repr, twice)),
            expected=f"{outputs} different names",
            action="Name every class once, in the order of the labels",
        )


def _listing(names: Sequence[str], others: Sequence[str]) -> str:
    """Return ``names`` as text; of a long list the ones at another index than in ``others``."""
    if len(names) <= SHOWN:
        return ", ".join(f"{index} {name!r}" for index, name in enumerate(names)) or "none"
    moved = [
        f"{index} {name!r}"
        for index, name in enumerate(names)
        if index >= len(others) or name != others[index]
    ]
    rest = f", and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return f"{len(names)} classes, of which {', '.join(moved[:SHOWN]) or 'all alike'}{rest}"
