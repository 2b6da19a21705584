"""Null-text inversion, a baseline for editing: the empty text's embedding is tuned at every step.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", CVPR 2023.

DDIM inversion takes a picture to noise, but sampling with guidance does not lead back to the picture. So the
unconditional embedding ∅_t is optimised at each step until the guided step reaches the latent of the inversion
(algorithm 1). The edit then uses the tuned ∅_t with another prompt, usually under prompt-to-prompt.

Other steps: the inversion is inversion/ddim.py; the optimisation is inversion/tuning.py, shared with BARET; the edit's
attention is prompt_to_prompt.py. Workflow: workflows/edit/null_text_edit.json.
"""

from .inversion.tuning import TuningRecipe


def null_text_recipe(
    guidance_scale: float = 7.5,
    iterations: int = 10,
    learning_rate: float = 1e-2,
    stop_start: float = 1e-5,
    stop_step: float = 2e-5,
    carry: bool = True,
) -> TuningRecipe:
    """How ∅_t is tuned: at step i Adam's rate is lr·(1 − i/100), and a loss below start + step·i ends it.

    As in the published code, whose rate would reach 0 at the hundredth step; here a hundredth of it remains.
    """
    return TuningRecipe(
        guidance_scale,
        iterations,
        lambda step: learning_rate * max(1 - step / 100, 0.01),
        lambda step: stop_start + stop_step * step,
        carry,
        "uncond",
    )
