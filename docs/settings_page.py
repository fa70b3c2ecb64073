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
from jaxmac.config import allowed, settings_of

PAGE = Path(__file__).with_name("settings.md")
FAMILIES = ("BoxPushing-10", "Warehouse-D", "Overcooked-A", "CaptureTarget-10")
SAME_BUT_FOR_THE_MIXER = ("avf-qmix", "tomacvf-qmix")  # stand for all algorithms of their kind
HEAD = f"""# All settings

Every setting of every algorithm, with the values of its presets on {", ".join(FAMILIES)}:
the most frequent value first, then the tasks that have another one. All values of a *traced* setting share one
compiled program. For one environment, also one of your own, the command line prints the same:
`jaxmac list --algorithm avf-qmix --env Warehouse-T`.

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
    others = "`, `".join(siblings)
    text = f"\n`{others}` have the same but for the settings of their mixers.\n" if siblings else ""
    groups = _groups(name)
    for sibling in siblings:
        groups |= {group: rows for group, rows in _groups(sibling).items() if group.startswith("mixer ")}
    presets = " | ".join(f"`{preset}`" for preset in ALGORITHMS[name].presets)
    columns = len(ALGORITHMS[name].presets) + 3
    top = f"\n| setting | {presets} | allowed | meaning |\n|{'---|' * columns}\n"
    body = "".join(f"| **{group}** |{' |' * (columns - 1)}\n" + "".join(rows) for group, rows in groups.items())
    return f"\n## {name}\n{text}{top}{body}"


def _groups(name: str) -> dict[str, list[str]]:
    """Group of settings -> the lines of its table."""
    presets = ALGORITHMS[name].presets
    configs = {
        preset: {env: configure(name, preset, jaxmac.make(env), {}) for env in FAMILIES} for preset in presets
    }
    made = [config for of_preset in configs.values() for config in of_preset.values()]
    fields = {setting: field for config in made for setting, field in settings_of(type(config)).items()}
    return {
        group: [_line(setting, fields[setting], configs) for setting in names]
        for group, names in by_group(fields).items()
    }


def _line(setting: str, field: dataclasses.Field, configs: dict[str, dict[str, Any]]) -> str:
    """The line of a setting: its value in each preset, the allowed range and the meaning."""
    cells = [_values({env: getattr(config, setting, None) for env, config in c.items()}) for c in configs.values()]
    meaning = field.metadata["help"] + (" (traced)" if field.metadata["traced"] else "")
    texts = [f"`{setting}`", *cells, allowed(field), meaning]
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |\n"


def _values(by_env: dict[str, Any]) -> str:
    """The most frequent value, then the environments that have another one; "-" where there is no such setting."""
    shown = {env: "-" if value is None else str(value) or "none" for env, value in by_env.items()}
    usual = Counter(shown.values()).most_common(1)[0][0]
    exceptions = [f"{env} {value}" for env, value in shown.items() if value != usual]
    return "; ".join([usual, *exceptions])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
