"""An extension of griffe: what the comments behind a class's fields say becomes the list of its attributes."""

from __future__ import annotations

import re
from typing import Any

import griffe

COMMENT = re.compile(r"\s# (?!type:|noqa)(.+)$")


class FieldComments(griffe.Extension):
    """Fields of records are described beside their shapes in the source; the reference shows both."""

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Add the section to the docstring of a class that has none of its own."""
        if cls.docstring is None or "Attributes:" in cls.docstring.value:
            return
        lines = cls.filepath.read_text().splitlines()
        found = []
        for name, member in cls.members.items():  # its own, not the inherited ones
            comment = COMMENT.search(lines[member.endlineno - 1]) if member.is_attribute else None
            if comment and not name.startswith("_"):
                found.append(f"    {name}: {comment[1]}")
        if found:
            cls.docstring.value += "\n\nAttributes:\n" + "\n".join(found)
