"""Animations of every environment family for the README, and the table of environments.

    python -m experiments.pictures

Writes docs/ENVIRONMENT.gif (the scripted plan where there is one, else random macro-actions) and the table in
docs/environments/README.md.
"""

from pathlib import Path

from experiments.common import slug
from jaxmac import animate, envs, random_policy, scripted_policy

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = (
    *("BoxPushing-10", "Warehouse-S", "Warehouse-D", "Warehouse-D1", "Warehouse-T", "Warehouse-T1", "Warehouse-Q"),
    *("CaptureTarget-10", "Overcooked-A", "Overcooked-B", "Overcooked-C"),
)
LARGEST = 500_000  # bytes of one animation
BEGIN, END = "<!-- table -->", "<!-- /table -->"


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
    page = DOCS / "environments" / "README.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}")
    for env_id in SHOWN:
        env = envs.make(env_id)
        policy = random_policy() if env.script() is None else scripted_policy(env)
        path = animate(env, policy, path=DOCS / f"{slug(env_id)}.gif")
        size = path.stat().st_size
        print(f"{path.name}: {size:,} bytes")
        if size > LARGEST:
            raise SystemExit(f"{path} has {size:,} bytes, more than {LARGEST:,}")


if __name__ == "__main__":
    main()
