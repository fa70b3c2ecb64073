"""benchmarks/operations.py: what counts as an operation, the page, and a folder that holds no version."""

from collections import Counter

import jax
import jax.numpy as jnp

from benchmarks import operations


def lowered(function, *arguments):
    return jax.jit(function).lower(*arguments).as_text()


def test_a_function_counts_as_often_as_it_is_called_and_a_loop_once():
    half = jax.jit(lambda x: jnp.sin(x) @ x)

    def twice(x):
        x = half(half(x)).reshape(2, 8) + 1.0
        return jax.lax.fori_loop(0, 5, lambda _, y: jnp.cos(y), x.reshape(4, 4))

    found = operations.operations(lowered(twice, jnp.ones((4, 4))))
    assert found["sine"] == found["dot_general"] == 2
    assert found["while"] == found["cosine"] == 1
    assert not set(found) & operations.FREE


def test_the_page_has_old_and_new_counts_and_their_sum():
    old, new = Counter({"dot_general": 3, "while": 2, "add": 1000}), Counter({"dot_general": 2, "add": 7})
    found = {"windows": [operations.Counts(old, 40), operations.Counts(new, 6)]}
    assert "| windows | 1,005 / 9 | 3 / 2 | 2 / 0 | 40 / 6 |" in operations.table(found).splitlines()


def test_turns_of_loops_inside_others_and_in_functions_are_multiplied():
    seven = jax.jit(lambda x: jax.lax.fori_loop(0, 7, lambda _, y: jnp.cos(y), x))

    def turning(number, x):
        x = jax.lax.fori_loop(0, number, lambda _, y: seven(y) + seven(-y), x)  # unknown: one turn
        x = jax.lax.while_loop(lambda s: (s[0] < 5) & (s[1] > 0), lambda s: (s[0] + 1, seven(s[1])), (0, x))[1]
        x = jax.lax.while_loop(lambda s: (s[0] < 6) & (s[0] != 3), lambda s: (s[0] + 1, -s[1]), (0, x))[1]
        x = jax.lax.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - 1, seven(s[1])), (9, x))[1]  # no bound above
        return jax.lax.cond(x > 0, seven, lambda y: y, x)

    assert operations.turns(lowered(turning, 3, 1.0)) == (1 + 2 * 7) + (5 + 5 * 7) + 6 + (1 + 7) + 7
    assert operations.turns(lowered(jnp.sin, 1.0)) == 0


def test_a_folder_without_jaxmac_is_refused(tmp_path, capsys):
    assert operations.main([str(tmp_path)]) == 2
    assert "has no folder jaxmac" in capsys.readouterr().err
