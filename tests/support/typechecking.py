"""What checks the annotated arrays of jaxmac, their shapes and dtypes, while the tests run.

Other annotations are left to mypy: what users give is checked by jaxmac itself, with messages that the tests read.
"""

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable

import numpy as np
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is taken where a float is annotated


def checked(function):
    """Check arguments and result of `function`; the import hook of jaxtyping calls this for every function.

    Not the fields of a pytree class where an object of it is made: JAX makes them with anything as a leaf (axes of
    vmap, None, shapes without values). They are checked where a function takes or returns the object, if their
    annotations start with "...": a batch of them has more axes in front.
    """
    hints = {name: hint for name, hint in function.__annotations__.items() if _has_array(hint)}
    records = [name for name, hint in function.__annotations__.items() if any(map(_shapes_of, _classes(hint)))]
    if not hints and not records:
        return function
    signature = inspect.signature(function)
    function.__annotations__ = hints
    check = _beartype(function)

    @functools.wraps(function)
    def check_as_jax_does(*arguments, **keywords):
        if function.__name__ == "__init__" and hasattr(type(arguments[0]), "_flax_dataclass"):
            return None
        try:
            result = check(*arguments, **keywords)
        except BeartypeCallHintViolation:
            arguments = tuple(map(_as_jax, arguments))
            result = check(*arguments, **{name: _as_jax(value) for name, value in keywords.items()})
        given = signature.bind(*arguments, **keywords).arguments | {"return": result}
        for name in records:
            _check_fields(name, given.get(name))
        return result

    return check_as_jax_does


def sparing(jaxtyped):
    """`jaxtyping.jaxtyped` that leaves alone what `checked` would not check: entering its wrapper costs time."""

    @functools.wraps(jaxtyped)
    def spared(function=None, *, typechecker):
        if function is None:
            return functools.partial(spared, typechecker=typechecker)
        if inspect.isfunction(function) and not any(map(_is_checked, _annotations_of(function))):
            return function
        return jaxtyped(function, typechecker=typechecker)

    return spared


def _annotations_of(function):
    """The annotations that can be read by now; jaxtyping does not check the others either."""
    for hint in function.__annotations__.values():
        with contextlib.suppress(NameError, AttributeError):
            yield eval(hint, function.__globals__) if isinstance(hint, str) else hint


def _is_checked(hint):
    return _has_array(hint) or any(map(_shapes_of, _classes(hint)))


def _classes(hint):
    """The classes that are in an annotation."""
    return {hint} if inspect.isclass(hint) else set().union(*map(_classes, typing.get_args(hint)))


@functools.cache
def _shapes_of(kind):
    """Name -> annotation of the fields of a class whose annotation starts with "..."; empty for most classes."""
    if not (hasattr(kind, "_flax_dataclass") or hasattr(kind, "_fields")):
        return {}
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if inspect.isclass(hint)}
    return {name: hint for name, hint in hints.items() if _has_array(hint) and hint.dim_str.startswith("...")}


def _check_fields(where, value):
    """Raise a TypeError for the first array in `value`, a record or a tree of records, that does not fit."""
    import jax

    for name, hint in _shapes_of(type(value)).items():
        field = getattr(value, name)
        as_jax = field if isinstance(field, jax.Array) else _as_jax(field)  # a traced one costs no operation
        if _is_array(field) and not isinstance(as_jax, hint):
            raise TypeError(f"{where}.{name} is {field.dtype}{list(field.shape)}, not {hint}")
    if hasattr(value, "_flax_dataclass"):
        parts = {name: getattr(value, name) for name in value.__dataclass_fields__}
    else:
        parts = dict(enumerate(value)) if isinstance(value, tuple | list) else {}
    for name, part in parts.items():
        _check_fields(f"{where}.{name}", part)


def _is_array(value):
    import jax

    return isinstance(value, jax.Array | np.ndarray | np.generic)


def _has_array(hint):
    """Whether an array of JAX with a shape is in it.

    Arrays of NumPy stand for all that `numpy.asarray` takes; `Array` and `ArrayLike` alone say nothing of a shape.
    """
    import jax  # not above: conftest sets what JAX reads when it is imported

    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return issubclass(hint.array_type, jax.Array)
    if typing.get_origin(hint) is Callable:  # it is checked when it is called, if it is one of jaxmac's
        return False
    return any(map(_has_array, typing.get_args(hint)))


def _as_jax(value):
    """JAX takes arrays of NumPy and numbers wherever it takes its own, and `jnp.asarray` lists of them as well.

    (`device_put` does what `asarray` does without a program to compile for each shape.)
    """
    import jax

    def convert(part):
        takes = _are_numbers(part) or isinstance(part, np.ndarray | np.generic)
        return jax.device_put(np.asarray(part)) if takes else part

    return jax.tree.map(convert, value, is_leaf=_are_numbers)


def _are_numbers(value):
    """Whether it is a number, or a list or tuple of them, of any depth."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_are_numbers, value))
    return isinstance(value, int | float)
