"""A run's context that keeps the warnings it was given."""

from inlay.graph_runtime import Context


class RecordingContext(Context):
    """Keeps every warning in `warnings`, besides passing it on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)
        super().warn(message)
