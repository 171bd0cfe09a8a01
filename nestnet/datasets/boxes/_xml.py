"""A small XML reader that knows lines and expands no entities."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from codegen.errors import UserError


@dataclass
class Element:
    """One element: its text, its children, and the line it begins in."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Return the children called ``tag``."""
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> Element | None:
        """Return the first child called ``tag``; None without one."""
        return next(iter(self.all(tag)), None)

    def word(self, tag: str) -> str:
        """Return the text of the first child called ``tag``, without blanks around; else ""."""
        found = self.first(tag)
        return "" if found is None else found.text.strip()


def read(where: str, content: bytes) -> Element:
    """Return the root of an XML file.

    Raises:
        UserError: it is not well-formed, or declares a document type, which may hold entities.
    """
    top = Element("", 0)
    stack = [top]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(tag: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def declaration(*about: object) -> None:
        raise UserError(
            f"{where}:{parser.CurrentLineNumber}",
            "a document type in an annotation",
            got="<!DOCTYPE",
            expected="plain elements",
            action="Remove the line",
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = declaration
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        line = getattr(error, "lineno", 1)
        raise UserError(
            f"{where}:{line}",
            "not readable XML",
            got=expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else error,
            expected="a well-formed file",
            action="Repair or remove the file, with its image",
        ) from error
    return top.children[0]
