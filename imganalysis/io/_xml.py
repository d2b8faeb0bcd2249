"""XML from image files, parsed without entities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

# What entities could do is refused before the parser sees the text.
from xml.etree import ElementTree

from imganalysis.errors import UnreadableImageError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def parse_xml(text: str, path: Path) -> Element:
    """Parse a metadata text of an image file.

    A document type is refused: it is the only way to declare entities, which can grow without
    bound or name other files, and no image format needs one.

    Raises
    ------
    UnreadableImageError
        The text has a document type, or is no XML.
    """
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise UnreadableImageError(
            f"{path}: its XML metadata declare a document type, which no image format needs and "
            f"which can name other files; not read. Save the image again from its software."
        )
    # The declaration may name the encoding of the file, but the text is decoded already.
    text = _DECLARATION.sub("", text.lstrip("\ufeff")).rstrip("\x00 \r\n\t")
    try:
        return ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise UnreadableImageError(
            f"{path}: its XML metadata are damaged ({error}). "
            f"Save the image again from its software."
        ) from error


def local(tag: str) -> str:
    """Name of a tag without its namespace."""
    return tag.rpartition("}")[2]


def child_text(element: Element, name: str) -> str:
    """Text of the first direct child of that name, whatever its namespace; empty if none."""
    for child in element:
        if local(child.tag) == name:
            return (child.text or "").strip()
    return ""
