"""As much of YAML as a data.yaml of YOLO holds: keys with a value, or a list of values."""

from __future__ import annotations

import re

_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""
_COMMENT = re.compile(rf"(?:({_QUOTED})|(?:^|\s)#.*)")
_IN_BRACKETS = re.compile(rf"\s*(?:(\d+)\s*:\s*)?({_QUOTED}|[^,\]}}]*?)\s*([,\]}}]|$)")
_IN_LINES = re.compile(r"\s*(?:-\s+)?(?:(\d+)\s*:)?\s*(.*?)\s*")


def values_of(text: str, key: str) -> list[str]:
    """Return what stands behind ``key`` at the beginning of a line: one value, or those of a list
    in brackets or a line each, in the order of their numbers where all have one; none without it.
    """
    lines = [_COMMENT.sub(lambda found: found[1] or "", line) for line in text.splitlines()]
    begins = re.compile(rf"{key}\s*:(?:\s(.*)|$)")
    at = next((i for i, line in enumerate(lines) if begins.match(line)), None)
    if at is None:
        return []
    rest = begins.sub(r"\1", lines[at]).strip()
    if rest[:1] in ("[", "{"):
        pairs = _bracketed(" ".join([rest[1:], *lines[at + 1 :]]))
    elif rest:
        return [_plain(rest)]
    else:
        pairs = _listed(lines[at + 1 :])
    if pairs and all(number for number, _ in pairs):
        pairs.sort(key=lambda pair: int(pair[0]))
    return [value for _, value in pairs]


def _bracketed(text: str) -> list[tuple[str, str]]:
    """Return number, or "", and value of each item up to the closing bracket."""
    pairs = []
    place = 0
    while (found := _IN_BRACKETS.match(text, place)) is not None:
        if found[2]:
            pairs.append((found[1] or "", _plain(found[2])))
        place = found.end()
        if found[3] != ",":
            break
    return pairs


def _listed(lines: list[str]) -> list[tuple[str, str]]:
    """Return number, or "", and value of each line up to the next key."""
    pairs = []
    for line in lines:
        if line.strip() and not re.match(r"\s|-", line):
            break
        found = _IN_LINES.fullmatch(line)
        if found is not None and found[2]:
            pairs.append((found[1] or "", _plain(found[2])))
    return pairs


def _plain(value: str) -> str:
    """Return a value without its quotes."""
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
