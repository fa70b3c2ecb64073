"""What checks the annotated arrays of jaxmac, their shapes and dtypes, while the tests run.

Other annotations are left to mypy: what users give is checked by jaxmac itself, with messages that the tests read.
"""

import functools
import inspect
import typing

import numpy as np
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is taken where a float is annotated


def checked(function):
    """Check arguments and result of `function`; the import hook of jaxtyping calls this for every function.

    Not the fields of a pytree class where an object of it is made: JAX makes them with anything as a leaf (axes of
    vmap, None, shapes without values), and a batch of them has more axes in front than the annotations tell.
    """
    hints = {name: hint for name, hint in function.__annotations__.items() if _has_array(hint)}
    if not hints:
        return function
    function.__annotations__ = hints
    check = _beartype(function)

    @functools.wraps(function)
    def check_as_jax_does(*arguments, **keywords):
        if function.__name__ == "__init__" and hasattr(type(arguments[0]), "_flax_dataclass"):
            return None
        try:
            return check(*arguments, **keywords)
        except BeartypeCallHintViolation:
            import jax

            arguments, keywords = jax.tree.map(_as_jax, (arguments, keywords))
            return check(*arguments, **keywords)

    return check_as_jax_does


def _has_array(hint):
    """Whether an array of JAX with a shape is in it.

    Arrays of NumPy stand for all that `numpy.asarray` takes; `Array` and `ArrayLike` alone say nothing of a shape.
    """
    import jax  # not above: conftest sets what JAX reads when it is imported

    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return issubclass(hint.array_type, jax.Array)
    return any(map(_has_array, typing.get_args(hint)))


def _as_jax(value):
    """JAX takes a NumPy array or a number wherever it takes an array of its own."""
    import jax.numpy as jnp

    return jnp.asarray(value) if isinstance(value, np.ndarray | np.generic | int | float) else value
