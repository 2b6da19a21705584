"""Image metrics: structural similarity and the Fréchet distance."""

from ..graph_runtime.core.light.later import F, Tensor, torch

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def similarity_map(image: Tensor, reference: Tensor) -> Tensor:
    """SSIM at every place where the window fits (Wang et al. 2004, eq. 13), `[b h−10 w−10]`, averaged over channels.

    Gaussian window of 11 × 11 with σ = 1.5, values in [0, 1]. Pictures `[b h w 3]`, float64, sides of 11 or more.
    """
    axis = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-(axis**2) / (2 * SIGMA**2))
    kernel = (line[:, None] * line[None] / line.sum() ** 2)[None, None]

    def smooth(value: Tensor) -> Tensor:
        planes = value.movedim(-1, 1)
        smoothed = F.conv2d(planes.reshape(-1, 1, *planes.shape[2:]), kernel)[:, 0]
        return smoothed.reshape(*planes.shape[:2], *smoothed.shape[1:])

    x, y = image, reference
    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    both = smooth(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    found = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return found.mean(1)


def frechet(first: Tensor, second: Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to features `[n d]` (Heusel et al. 2017): |μ₁−μ₂|² + tr(Σ₁+Σ₂−2√(Σ₁Σ₂)).

    The trace of the root comes from the eigenvalues of √Σ₁·Σ₂·√Σ₁, which is symmetric.
    """
    first, second = first.double(), second.double()
    means = [value.mean(0) for value in (first, second)]
    spreads = [
        (value - mean).T @ (value - mean) / max(1, len(value) - 1)
        for value, mean in zip((first, second), means, strict=True)
    ]
    values, vectors = torch.linalg.eigh(spreads[0])
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ spreads[1] @ root).clamp(min=0).sqrt().sum()
    distance = (means[0] - means[1]).square().sum() + spreads[0].trace() + spreads[1].trace() - 2 * crossed
    return float(distance.clamp(min=0))
