"""Animations of every environment family for the README, and the table of environments.

    python -m experiments.pictures

Writes docs/ENVIRONMENT.gif, the table in docs/environments/README.md, and in README.md what they show: the
best team of the zoo; where there is none the scripted plan, or random macro-actions.
"""

import textwrap
from pathlib import Path

from experiments.common import slug
from jaxmac import animate, envs, random_policy, scripted_policy
from jaxmac.envs import Environment
from jaxmac.export.zoo import policy_by_name, policy_title, zoo_index
from jaxmac.record.policy import Policy

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = (
    *("BoxPushing-10", "Warehouse-S", "Warehouse-D", "Warehouse-D1", "Warehouse-T", "Warehouse-T1", "Warehouse-Q"),
    *("CaptureTarget-10", "Overcooked-A", "Overcooked-B", "Overcooked-C"),
)
LARGEST = 500_000  # bytes of one animation
TABLE, CAPTION = "table", "animations"  # <!-- table --> ... <!-- /table --> in a page


def replaced(page: Path, mark: str, content: str) -> None:
    """Write `content` between two marks of a page."""
    before, rest = page.read_text().split(f"<!-- {mark} -->")
    after = rest.split(f"<!-- /{mark} -->")[1]
    page.write_text(f"{before}<!-- {mark} -->\n\n{content}\n\n<!-- /{mark} -->{after}")


def shown(env_id: str) -> tuple[Environment, Policy, str]:
    """The environment and the policy of an animation, and what the policy is in words."""
    if teams := zoo_index().get(env_id):
        env = envs.make(env_id, **teams[0]["env_options"])
        return env, policy_by_name("zoo", env), policy_title("zoo", env)
    env = envs.make(env_id)
    if env.script() is None:
        return env, random_policy(), "random macro-actions"
    return env, scripted_policy(env), "the best known plan, not learned"


def table() -> str:
    """One line per listed id: agents, macro-actions, observation, state, horizon, best known return."""
    lines = [
        "| id | agents | macro-actions | observation | state | horizon | best known return |",
        "|---|---|---|---|---|---|---|",
    ]
    for env_id in envs.list_ids():
        env = envs.make(env_id)
        best = env.best_known_return or env.optimal_return
        known = "" if best is None else f"{best:g}" + (" (optimal)" if env.optimal_return is not None else "")
        actions, obs = (" ".join(map(str, sizes)) for sizes in (env.num_actions, env.obs_sizes))
        cells = (env_id, env.num_agents, actions, obs, env.state_size, env.horizon, known)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Write the animations and the table."""
    replaced(DOCS / "environments" / "README.md", TABLE, table())
    captions = []
    for env_id in SHOWN:
        env, policy, words = shown(env_id)
        captions.append(f"{env_id}: {words}")
        path = animate(env, policy, path=DOCS / f"{slug(env_id)}.gif")
        size = path.stat().st_size
        print(f"{path.name}: {size:,} bytes")
        if size > LARGEST:
            raise SystemExit(f"{path} has {size:,} bytes, more than {LARGEST:,}")
    caption = (
        f"*Learned teams of the [zoo](experiments/zoo/README.md), unless it says otherwise. {'; '.join(captions)}.*"
    )
    replaced(DOCS.parent / "README.md", CAPTION, textwrap.fill(caption, 120, break_on_hyphens=False))


if __name__ == "__main__":
    main()
