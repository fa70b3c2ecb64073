"""Words of error messages that every room uses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """A phrase for an error message: the known names closest to `name`, or all where none is close."""
    known = list(known)
    by_lower_case = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower_case, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(by_lower_case[k] for k in close)}?"
    return f"known: {', '.join(known) or 'none'}"


def first_line(error: BaseException) -> str:
    """What an error of a library says, short enough for a message of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
