"""A few combinations of options that contain every pair of values of two different options."""

import itertools
import random


def covering(options, seed=0, tries=40):
    """List of dicts option -> value, for `options` name -> possible values.

    Greedy: each combination begins with a pair that is still missing and is the best of `tries` random ones.
    """
    rng, names = random.Random(seed), list(options)

    def pairs_of(combination):
        return set(itertools.combinations(combination.items(), 2))

    missing = {
        ((one, x), (other, y))
        for one, other in itertools.combinations(names, 2)
        for x, y in itertools.product(options[one], options[other])
    }
    chosen = []
    while missing:
        start = dict(min(missing, key=repr))
        drawn = [{name: start.get(name, rng.choice(options[name])) for name in names} for _ in range(tries)]
        best = max(drawn, key=lambda combination: len(pairs_of(combination) & missing))
        missing -= pairs_of(best)
        chosen.append(best)
    return chosen
