"""Whether everything random in an environment comes from the keys that its functions are given."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from jaxmac.envs.environment import Environment


def wrong_randomness(env: Environment) -> str:
    """What is wrong with the randomness of an environment, found by tracing alone; "" if nothing is.

    Numbers that NumPy or Python draw while a function is traced become constants of the program, the same in every
    episode; so does noise whose key is one of its own.
    """
    try:
        return _wrong(env)
    except (jax.errors.UnexpectedTracerError, jax.errors.TracerArrayConversionError):
        return "keeps a value of one call on self and uses it in another: put it into the physics"


def _wrong(env: Environment) -> str:
    key = jax.eval_shape(lambda: jax.random.key(0))
    state, ts = jax.eval_shape(env.reset, key)
    for name, arguments in (("reset", (key,)), ("step", (key, state, ts.macro_action))):
        once, again = (_constants(jax.make_jaxpr(getattr(env, name))(*arguments)) for _ in range(2))
        if once != again:
            return f"{name} draws from NumPy or Python while it is traced: draw from its key (jax.random)"
    noise = jax.make_jaxpr(env.sample_noise)(key).jaxpr
    read = [variable for equation in noise.eqns for variable in equation.invars] + noise.outvars
    drawn = any(name.startswith(("random_", "threefry")) for name in _operations(noise))
    if drawn and not any(variable is noise.invars[0] for variable in read):
        return "sample_noise does not use its key, so every step has the same noise"
    return ""


def _operations(program: Any) -> list[str]:
    """The names of all operations of a traced program, those of the programs inside of it included."""
    found = []
    for equation in program.eqns:
        found.append(equation.primitive.name)
        for value in equation.params.values():
            parts = value if isinstance(value, tuple | list) else (value,)
            found += [name for part in parts if hasattr(part, "eqns") for name in _operations(part)]
    return found


def _constants(program: Any) -> list[bytes]:
    """All numbers that are written into a traced program, those of the programs inside of it included."""
    inner = getattr(program, "jaxpr", program)
    found = [_number(constant) for constant in getattr(program, "consts", ())]
    for equation in inner.eqns:
        found += [_number(variable.val) for variable in equation.invars if isinstance(variable, Literal)]
        for value in equation.params.values():
            parts = value if isinstance(value, tuple | list) else (value,)
            found += [number for part in parts if hasattr(part, "eqns") for number in _constants(part)]
    return found


def _number(value: Any) -> bytes:
    """A constant, also a random key or what is not a number, as it lies in memory."""
    is_key = hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(value) if is_key else value).tobytes()
