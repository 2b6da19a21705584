"""BARET's target-text inversion (TTIS): settings for tuning the embedding of the target text."""

from ..inversion.tuning import TuningRecipe


def target_text_recipe(
    guidance_scale: float = 7.5,
    iterations: int = 5,
    learning_rate: float = 1e-3,
    stop_start: float = 1e-5,
    stop_step: float = 2e-5,
    carry: bool = True,
) -> TuningRecipe:
    """How e_t is tuned (TTIS): Adam's rate is constant, and at step i a loss below start + step·i ends it."""
    return TuningRecipe(
        guidance_scale,
        iterations,
        lambda step: learning_rate,
        lambda step: stop_start + stop_step * step,
        carry,
        "cond",
    )
