"""BARET's progressive transition (PTS): from the tuned embedding to that of the target text."""

from ...graph_runtime.core.light.later import Tensor, torch


def transition_weights(start: float, end: float, total: int) -> list[float]:
    """λ_i = start + (end − start)·i/(T − 1) for T = `total` steps, noisiest first; 1 is the tuned embedding (PTS).

    The paper goes from 0.8 to 0.1 for non-rigid edits, and keeps 1 for rigid ones.
    """
    return [start + (end - start) * number / max(1, total - 1) for number in range(total)]


def blend(tuned: Tensor, target: Tensor, weights: list[float]) -> Tensor:
    """ẽ_t = λ_i·e_t + (1 − λ_i)·e_tgt (PTS), exact at 0 and 1.

    Args:
        tuned: e_t, noisiest first `[T b n d]`.
        target: e_tgt `[b n d]` or `[1 n d]`.
        weights: λ_i, one for each step.

    Returns:
        The transition embeddings `[T b n d]`.
    """
    rows = []
    for value, weight in zip(tuned, weights, strict=True):
        rows.append(
            value if weight == 1 else target.expand_as(value) if weight == 0 else weight * value + (1 - weight) * target
        )
    return torch.stack(rows)
