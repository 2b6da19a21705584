"""The autoencoder's second lesson: patterned pictures, and latents of plain ones that stay where they were."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from inlay.dollhouse import _pattern_stage as stage
from inlay.dollhouse._vae_stage import VAE_CONFIG, to_tensor

CPU = torch.device("cpu")
TINY = VAE_CONFIG | {"block_out_channels": (8, 8, 8, 8)}


def test_scenes_wear_patterns_in_two_different_colours():
    scenes = [stage.patterned_scene(index) for index in range(40)]
    assert {scene.pattern for scene in scenes} == {"striped", "dotted"}
    assert all(scene.colour != scene.second_colour for scene in scenes)
    assert len({scene.second_colour for scene in scenes}) > 5


@pytest.mark.slow
def test_plain_latents_stay_where_they_were_and_the_checkpoint_is_what_was_learned(tmp_path, monkeypatch):
    torch.manual_seed(0)
    vae = AutoencoderKL(**TINY).eval()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    draws = np.random.default_rng(0)
    plain, worn = (draws.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8) for _ in range(2))

    def moved(anchor):
        monkeypatch.setattr(stage, "ANCHOR", anchor)
        taught = stage.train_patterns(tmp_path / str(anchor), vae, plain, worn, CPU, steps=60)
        with torch.no_grad():
            change = taught.encode(to_tensor(plain)).latent_dist.mean - vae.encode(to_tensor(plain)).latent_dist.mean
        return taught, float(change.square().mean())

    free, held = moved(0.0), moved(1000.0)
    assert held[1] < free[1] / 2
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())  # the first is kept
    again = stage.patterned_vae(tmp_path / "1000.0", vae)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in held[0].state_dict().items())
