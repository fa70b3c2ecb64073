"""benchmarks/operations.py: what counts as an operation, the page, and a folder that holds no version."""

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
    found = {"windows": [{"dot_general": 3, "while": 2, "add": 1000}, {"dot_general": 2, "add": 7}]}
    assert "| windows | 1,005 / 9 | 3 / 2 | 2 / 0 |" in operations.table(found).splitlines()


def test_a_folder_without_jaxmac_is_refused(tmp_path, capsys):
    assert operations.main([str(tmp_path)]) == 2
    assert "has no folder jaxmac" in capsys.readouterr().err
