"""How to train: what each optimizer does to the weights that it is given."""

import jax.numpy as jnp
import numpy as np
import pytest

from hierarchy.training.recipe import FitConfig
from structure.errors import RequestError

WEIGHTS = {
    "layers.0.now": jnp.eye(8, 4),
    "layers.0.bias": jnp.ones([4]),
    "last": jnp.ones([4, 3]),
}
PLAIN = dict(warmup_steps=0, final_fraction=1.0, weight_decay=0.0, learning_rate=0.1)


def first_updates(config, seed=0):
    random = np.random.default_rng(seed)
    slopes = {
        name: jnp.asarray(random.normal(size=x.shape), jnp.float32)
        for name, x in WEIGHTS.items()
    }
    optimizer = config.optimizer()
    return optimizer.update(slopes, optimizer.init(WEIGHTS), WEIGHTS)[0]


def test_muon_turns_a_matrix_alike_in_all_directions():
    update = first_updates(FitConfig(**PLAIN, muon=("layers",)))["layers.0.now"]
    stretches = np.linalg.svd(update, compute_uv=False)
    # Five steps of Newton and Schulz come to within a third of each other.
    assert stretches.max() < 1.7 * stretches.min()
    gradient_like = first_updates(FitConfig(**PLAIN))["layers.0.now"]
    stretches = np.linalg.svd(gradient_like, compute_uv=False)
    assert stretches.max() > 1.7 * stretches.min()


def test_muon_leaves_other_parts_and_all_vectors_to_adam():
    mixed = first_updates(FitConfig(**PLAIN, muon=("layers",)))
    adam = first_updates(FitConfig(**PLAIN))
    for name in ("layers.0.bias", "last"):
        # The same way for each weight: a gradient's sign, at first. Beside Muon, Adam
        # looks ahead as Nesterov does, and so goes a little farther.
        ahead = np.asarray(mixed[name] / adam[name])
        np.testing.assert_allclose(ahead, ahead.flat[0], rtol=1e-4)
        assert 1 <= ahead.flat[0] < 1.5


def test_both_optimizers_step_about_as_far():
    mixed = first_updates(FitConfig(**PLAIN, muon=("layers",)))["layers.0.now"]
    # Adam's first step moves every weight by the learning rate; in a training its
    # steps are about a fifth of that, as Muon's are from the start.
    assert 0.1 < np.sqrt(np.square(mixed).mean()) / 0.1 < 0.3


def test_a_part_that_the_model_lacks_is_named():
    config = FitConfig(**PLAIN, muon=("layers", "attic"))
    with pytest.raises(RequestError, match="no attic; its parts are last, layers"):
        config.optimizer().init(WEIGHTS)
