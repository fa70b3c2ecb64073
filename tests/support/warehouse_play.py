"""Warehouse for its tests: recorded and random episodes, compiled steps, made-up situations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac import envs

RECORDINGS = ["S", "S_v06", "D", "D1", "T", "T1", "Q", "S_prim"]


def recorded(name, meta):
    """The environment a recording was made with."""
    options = {"horizon": meta["horizon"], "horizon_is_terminal": name == "Q"}
    if "kwargs" in meta:
        options["mobile_speed"] = meta["kwargs"]["TB_move_speed"]
        options["human_speeds"] = meta["kwargs"]["human_speed_per_step"]
        options["late_penalty"] = meta["kwargs"]["delay_delivery_penalty"]
    return envs.make(f"Warehouse-{name.split('_')[0]}" + "-primitive" * name.endswith("prim"), **options)


def player(env, keep=lambda state, ts: (state, ts)):
    """Compiled: macro-actions `[E, T, N]` -> what `keep` keeps of whole episodes, leaves `[E, T + 1, ...]`."""

    def episode(actions):
        def body(state, joint):
            state, ts = env.advance(state, joint, ())
            return state, keep(state, ts)

        state, ts = env.reset(jax.random.key(0))
        _, rest = jax.lax.scan(body, state, actions)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), keep(state, ts), rest)

    run = jax.jit(jax.vmap(episode))
    return lambda actions: jax.device_get(run(np.array(actions)))


@functools.cache
def jitted(env_id, **options):
    """As `compiled`, by id."""
    return compiled(envs.make(env_id, **options))


def compiled(env):
    """The environment and its `advance`; what else the tests call of it is compiled too."""
    for name in ("reset", "begin", "observe", "global_state", "success", "initial_physics"):
        setattr(env, name, jax.jit(getattr(env, name)))
    return env, jax.jit(lambda *args: env.advance(*args, ()))


def situation(env, at, timer=None, basket=None, staged=(), running=None, **humans):
    """Robots at waypoints `at` (None: on the way, at the waiting spot); `basket` has each robot's tools.

    `running` maps agents to macro-actions that have not ended; `humans` are fields of `Humans`.
    """
    physics, layout = env.initial_physics(jax.random.key(0)), env.layout
    spots = [(*layout.work_areas, layout.tool_room, layout.table_points[i]) for i in range(env.num_mobiles)]
    x, y = np.array([spots[i][env.go_to_tool_room if a is None else a] for i, a in enumerate(at)], np.float32).T
    counts = [[list(tools).count(k) for k in range(env.num_tools)] for tools in basket or [()] * len(at)]
    mobiles = physics.mobiles.replace(
        x=array(x),
        y=array(y),
        place=array([-1 if a is None else a for a in at]),
        timer=array(timer or [0] * len(at)),
        basket=array(counts),
    )
    staging = array([*staged, -1, -1][:2])
    found = array([sum(counts[i][k] for i in range(len(at))) + list(staged).count(k) for k in range(env.num_tools)])
    manipulator = physics.manipulator.replace(staged=staging, found=found)
    people = physics.humans.replace(**{name: array(value) for name, value in humans.items()})
    state, _ = env.begin(physics.replace(mobiles=mobiles, manipulator=manipulator, humans=people))
    for agent, action in (running or {}).items():
        others = np.arange(env.num_agents) != agent
        chosen = np.where(others, state.macro_action, action)
        state = state.replace(ended=array(state.ended & others), macro_action=array(chosen))
    return state


def array(values):
    """As `jnp.array`, without a program to compile for each shape."""
    return jax.device_put(np.asarray(values))


def steps(advance, state, *joints):
    """State, last TimeStep and all rewards after these joint choices."""
    rewards = []
    for joint in joints:
        state, ts = advance(state, np.array(joint))
        rewards.append(float(ts.reward))
    return state, ts, rewards


def duration(advance, state, agent, action, others, until=lambda state, ts, agent: bool(ts.ended[agent])):
    """Steps until the macro-action ends (or `until`), all other agents choosing from `others`."""
    for step in range(1, 60):
        joint = list(others)
        joint[agent] = action
        state, ts = advance(state, np.array(joint))
        if until(state, ts, agent):
            return step
    raise AssertionError("it never ended")


def arrives(state, ts, agent):
    return int(state.physics.mobiles.place[agent]) >= 0
