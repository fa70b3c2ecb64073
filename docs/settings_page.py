"""The page docs/settings.md: every setting of every algorithm, from the library itself.

    python docs/settings_page.py

A test holds the page to what this writes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import jaxmac
from jaxmac.algorithms.registry import ALGORITHMS, configure
from jaxmac.cli.listing import by_group
from jaxmac.config import allowed, part_of, settings_of

PAGE = Path(__file__).with_name("settings.md")
FAMILIES = ("BoxPushing-10", "Warehouse-D", "Overcooked-A", "CaptureTarget-10")
SAME_BUT_FOR_THE_MIXER = ("avf-qmix", "tomacvf-qmix")  # stand for all algorithms of their kind
HEAD = f"""# All settings

Every setting of every algorithm, with the values of its presets on {", ".join(FAMILIES)}:
the most frequent value first, then the tasks that have another one; a dash where the parts that a preset chooses
have no such setting. All values of a *traced* setting share one compiled program. For one environment, also one of
your own, the command line prints the same: `jaxmac list --algorithm avf-qmix --env Warehouse-T`.

This page is written by `python docs/settings_page.py`. What `tuned` is and why:
[algorithms](algorithms.md#presets).
"""


def page() -> str:
    """The text of the page."""
    return HEAD + "".join(_section(name) for name in ALGORITHMS if _stands_for_itself(name))


def _stands_for_itself(name: str) -> bool:
    family = name.partition("-")[0]
    return family not in ("avf", "tomacvf") or name in SAME_BUT_FOR_THE_MIXER


def _section(name: str) -> str:
    """An algorithm's heading and table; where algorithms differ in the mixer alone, with the settings of all."""
    kind, shared = name.partition("-")[0], name in SAME_BUT_FOR_THE_MIXER
    siblings = [other for other in ALGORITHMS if shared and other.startswith(f"{kind}-") and other != name]
    groups = _groups(name)
    for sibling in siblings:
        groups |= {group: rows for group, rows in _groups(sibling).items() if group.startswith("mixer ")}
    presets = list(ALGORITHMS[name].presets)
    head = " | ".join(["setting", *(f"`{preset}`" for preset in presets), "allowed", "meaning"])
    text = f"\n## {name}\n{_siblings(name, siblings)}\n| {head} |\n|{'---|' * (len(presets) + 3)}\n"
    for group, rows in groups.items():
        text += f"| **{group}** |{' |' * (len(presets) + 2)}\n"
        for setting, (field, values) in rows.items():
            meaning = field.metadata["help"] + (" (traced)" if field.metadata["traced"] else "")
            cells = [f"`{setting}`", *values.values(), allowed(field), meaning]
            text += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return text


def _siblings(name: str, siblings: list[str]) -> str:
    """The sentence on algorithms that share the section of `name`, with the values in which they differ from it."""
    if not siblings:
        return ""
    own = _groups(name)
    exceptions = [
        f"`{sibling}` has `{setting}` {value} in `{preset}`"
        for sibling in siblings
        for group, rows in _groups(sibling).items()
        for setting, (_, values) in rows.items()
        for preset, value in values.items()
        if group in own and value != own[group][setting][1][preset]
    ]
    but = f", and: {'; '.join(exceptions)}" if exceptions else ""
    return f"\n`{'`, `'.join(siblings)}` have the same but for the settings of their mixers{but}.\n"


def _groups(name: str) -> dict[str, dict[str, tuple[dataclasses.Field, dict[str, str]]]]:
    """Group -> setting -> its field, and its values by preset."""
    configs = {
        preset: {env: configure(name, preset, jaxmac.make(env), {}) for env in FAMILIES}
        for preset in ALGORITHMS[name].presets
    }
    found: dict[str, dict[str, tuple[dataclasses.Field, dict[str, str]]]] = {}
    for kind in dict.fromkeys(type(config) for of_preset in configs.values() for config in of_preset.values()):
        fields = settings_of(kind)
        for group, names in by_group(fields).items():
            for setting in names:
                values = {preset: _values(setting, fields[setting], c) for preset, c in configs.items()}
                found.setdefault(group, {})[setting] = fields[setting], values
    return found


def _values(setting: str, field: dataclasses.Field, configs: dict[str, Any]) -> str:
    """The most frequent value, then the environments that have another one; "-" where no part has the setting."""
    shown = {}
    for env, config in configs.items():
        own = settings_of(type(config)).get(setting)
        has = own is not None and part_of(own) == part_of(field)
        shown[env] = (str(getattr(config, setting)) or "none") if has else "-"
    usual = Counter(shown.values()).most_common(1)[0][0]
    exceptions = [f"{env} {value}" for env, value in shown.items() if value != usual]
    return "; ".join([usual, *exceptions])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
