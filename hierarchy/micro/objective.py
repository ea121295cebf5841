"""What a grain model is trained for: bits per sample, at every level of detail."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hierarchy.micro import conditions, mixture
from hierarchy.micro.lessons import Window, audible
from hierarchy.micro.wavenet import WaveNet

UNHEARD = 6  # frames at a window's start whose past is missing, and so do not count


def band_weights(bands: int) -> np.ndarray:
    """How much each band counts in training, mean 1: the lower carry the music."""
    weights = 1 / (1 + np.arange(bands) / 2 * (8 / bands))
    return (weights / weights.mean()).astype(np.float32)


def _bits(model: WaveNet, window: Window) -> tuple[jax.Array, jax.Array]:
    """Bits of each band sample that counts, and its audibility; [batch, steps, bands]."""
    config = model.config
    sketch = conditions.draw(
        window.frequency,
        window.amplitude,
        window.phase,
        window.levels,
        sample_rate=config.sample_rate,
    )
    sketch = sketch * (window.share > 0)[:, None, None]
    frames = conditions.withhold(
        window.frames, coarse=window.coarse, sketch_share=window.share
    )
    parameters = model(window.shape, sketch, frames, window.style)
    start = UNHEARD * config.steps_per_frame
    bits = -mixture.log_likelihood(parameters, window.shape)[:, start:] / jnp.log(2.0)
    heard = audible(window.levels[:, 2 + UNHEARD : -2])
    return bits, jnp.repeat(heard, config.steps_per_frame, axis=1)


def training_loss(model: WaveNet, window: Window, key: jax.Array):
    """Weighted bits per sample; see `fit` for the contract."""
    del key  # what is withheld was drawn with the window
    bits, heard = _bits(model, window)
    weights = heard * jnp.asarray(band_weights(model.config.bands))[None, None]
    return (bits * weights).sum() / weights.sum(), {
        "bits": (bits * heard).sum() / heard.sum()
    }


def validation_loss(model: WaveNet, window: Window, key: jax.Array):
    """Bits per sample with the sketch, with the coarse conditions alone, and free."""
    del key
    none, full = jnp.zeros_like(window.share), jnp.ones_like(window.share)
    levels_of_detail = {
        "sketch": (full, full),
        "coarse": (full, none),
        "free": (none, none),
    }
    metrics = {}
    for name, (coarse, share) in levels_of_detail.items():
        bits, heard = _bits(model, window._replace(coarse=coarse, share=share))
        metrics[f"bits_{name}"] = (bits * heard).sum() / heard.sum()
    return 0.6 * metrics["bits_sketch"] + 0.3 * metrics["bits_coarse"] + (
        0.1 * metrics["bits_free"]
    ), metrics
