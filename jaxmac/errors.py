"""Errors, and phrases of their messages, that the whole library uses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RunDirectoryError(OSError):
    """A run directory cannot be read or written; the message is one line and says what to do."""


def nearest(name: object, known: Iterable[str]) -> str:
    """A phrase for an error message: "did you mean A or B?", or "known: ..." with all names if none is close."""
    known = list(known)
    by_lower_case = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower_case, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(by_lower_case[k] for k in close)}?"
    return f"known: {', '.join(known) or 'none'}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none; at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
