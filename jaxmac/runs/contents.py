"""What environments and functions consist of, as values that can be compared.

Compiled programs are kept for what they were made of. These values tell whether that is still the same, where an
attribute, a class or a function was changed in a notebook.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property, partial
from operator import itemgetter
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.envs.environment import Environment

PLAIN = (bool, int, float, complex, str, bytes, type(None))
ARRAYS = (np.ndarray, np.generic, jax.Array)
CONTAINERS = (list, tuple, set, frozenset)
OWN = ("jaxmac", "builtins", "abc")  # modules whose classes nobody changes
DEEPEST = 12  # containers within containers, for the digest
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
Visited = dict[int, int]  # id of an object or function that has been counted -> its number


def attributes_of(env: Environment) -> Hashable:
    """What differs between environments that may behave differently.

    Counted are the attributes of an environment and of the objects in it, arrays in full by a digest; and of
    classes that are not jaxmac's, their attributes, the code of their methods, and the constants and functions of
    their module that these read. What is computed on first use does not count.
    """
    try:
        return _object_content(env, {})
    except Exception:  # what is in it is not ours: an object may raise whatever is asked of it
        return tuple((name, _shown(x)) for name, x in _own_attributes(env))


def function_key(function: Callable) -> Hashable:
    """The same for the same function with the same code, and for equal arguments that `functools.partial` binds."""
    inner = function.func if isinstance(function, partial) else function
    try:
        return id(inner), _content_of(function, {})
    except Exception:  # as above
        return id(inner), _shown(function)


def plain_digest(env: Environment) -> str:
    """A digest of the numbers, texts and arrays among an environment's attributes, the same in other processes."""
    return hashlib.sha256(repr(_plain_content(env, 0)).encode()).hexdigest()


def _shown(value: Any) -> str:
    """`repr` without addresses, which differ between equal objects."""
    return ADDRESS.sub("", repr(value))


def _plain_content(value: Any, depth: int) -> Any:
    """The numbers, texts and arrays in a value; of anything else the name of its type."""
    if isinstance(value, Environment) and depth < DEEPEST:
        named = [(name, x) for name, x in _own_attributes(value) if not name.startswith("_")]  # those are caches
        return [(name, _plain_content(x, depth + 1)) for name, x in named]
    if isinstance(value, list | tuple) and depth < DEEPEST:
        return [_plain_content(x, depth + 1) for x in value]
    if isinstance(value, Mapping) and depth < DEEPEST:
        pairs = ((_plain_content(key, DEEPEST), _plain_content(x, depth + 1)) for key, x in value.items())
        return sorted(map(repr, pairs))
    if isinstance(value, ARRAYS):
        return _array_content(value) if value.dtype != object else "an array of objects"
    return value if isinstance(value, PLAIN) else type(value).__name__


def _own_attributes(value: Any) -> list[tuple[str, Any]]:
    """The attributes of an object by name, without those that are computed on first use."""
    owned = (pair for kind in type(value).__mro__ for pair in vars(kind).items())
    computed = {name for name, member in owned if isinstance(member, cached_property)}
    return sorted((name, x) for name, x in vars(value).items() if name not in computed)


def _object_content(value: Any, visited: Visited) -> Hashable:
    """The class and attributes of an object, and the items of a container with a class of its own."""
    if id(value) in visited:
        return "counted already", visited[id(value)]
    visited[id(value)] = len(visited)
    named = tuple((name, _content_of(x, visited)) for name, x in _own_attributes(value))
    items = list(value.items()) if isinstance(value, dict) else list(value) if isinstance(value, CONTAINERS) else []
    kind = type(value)
    return kind.__module__, kind.__qualname__, _class_content(kind, visited), named, _content_of(items, visited)


def _class_content(kind: type, visited: Visited) -> Hashable:
    """Attributes and methods of the classes that an object is of, without jaxmac's and Python's own."""
    outside = [one for one in kind.__mro__ if one.__module__.partition(".")[0] not in OWN]
    found: list[Hashable] = []
    for one in (one for one in outside if id(one) not in visited):
        visited[id(one)] = len(visited)
        for name, member in sorted(vars(one).items(), key=itemgetter(0)):
            if not name.startswith("__") or name in ("__init__", "__call__"):
                found.append((name, _content_of(member, visited)))
    return tuple(found)


def _content_of(value: Any, visited: Visited) -> Hashable:
    """What differs between values: the content of each leaf of a tree, and how the leaves hang together."""
    try:
        leaves, structure = jax.tree.flatten(value)
    except (TypeError, ValueError):  # a dict whose keys have no order, in it or within
        if isinstance(value, Mapping):
            return tuple((_shown(key), _content_of(x, visited)) for key, x in value.items())
        return tuple(_content_of(x, visited) for x in value)
    return str(structure), tuple(_leaf_content(leaf, visited) for leaf in leaves)


def _leaf_content(leaf: Any, visited: Visited) -> Hashable:
    if isinstance(leaf, ARRAYS):
        return _array_content(leaf)
    if isinstance(leaf, partial):
        return _leaf_content(leaf.func, visited), _content_of((leaf.args, leaf.keywords), visited)
    if isinstance(leaf, MethodType):
        return _leaf_content(leaf.__func__, visited), _leaf_content(leaf.__self__, visited)
    function = _inside(leaf)
    if isinstance(function, FunctionType):
        return _function_content(function, visited)
    if isinstance(leaf, type | ModuleType):
        return id(leaf)
    is_flax = any(kind.__module__.startswith("flax.") for kind in type(leaf).__mro__)  # its modules are numbered
    if not isinstance(leaf, PLAIN) and hasattr(leaf, "__dict__") and not is_flax:
        return _object_content(leaf, visited)
    return _shown(leaf)


def _inside(member: Any) -> Any:
    """The function in a property or another wrapper of a class; anything else as it is."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    return member.__func__ if isinstance(member, staticmethod | classmethod) else member


def _array_content(value: Any) -> str:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        return _shown(array.tolist())
    return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"


def _function_content(function: FunctionType, visited: Visited) -> Hashable:
    """Code, defaults and enclosed values of a function, and constants and functions of its module that it reads."""
    if id(function) in visited:
        return "counted already", visited[id(function)]
    visited[id(function)] = len(visited)
    code = function.__code__
    cells = [value for cell in function.__closure__ or () for value in _enclosed(cell)]
    read = [function.__globals__[name] for name in _names_in(code) if name in function.__globals__]
    helpers = [x for x in read if isinstance(x, FunctionType) and x.__module__ == function.__module__]
    values = (function.__defaults__, function.__kwdefaults__, cells, list(filter(_is_constant, read)), helpers)
    return _code_content(code), _content_of(values, visited)


def _is_constant(value: Any) -> bool:
    try:
        return all(isinstance(x, PLAIN + ARRAYS) for x in jax.tree.leaves(value))
    except (TypeError, ValueError):
        return False


def _enclosed(cell: CellType) -> list[Any]:
    """The value of a variable that a function encloses, if it has one yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _names_in(code: CodeType) -> list[str]:
    """The names that code reads, with those of functions inside."""
    within = [name for const in code.co_consts if isinstance(const, CodeType) for name in _names_in(const)]
    return [*code.co_names, *within]


def _code_content(code: CodeType) -> Hashable:
    consts = (_code_content(x) if isinstance(x, CodeType) else repr(x) for x in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, tuple(consts)
