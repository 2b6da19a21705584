"""The error that ends a training."""

from ..graph_runtime import BadInput


class TrainingFailed(BadInput):
    """Training cannot continue; the last checkpoint is intact."""
