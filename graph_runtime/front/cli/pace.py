"""How far a job is, in words."""

import re
import time
from pathlib import PurePosixPath

from ...core.events import ItemFinished, ItemStarted
from .duration import duration


class Pace:
    """Counts the runs of a job, and says how long the others will take."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made = 0
        self.name = ""  # of the picture that began last

    def starts(self, event: ItemStarted) -> None:
        """A run begins."""
        self.name = event.name

    def ends(self, event: ItemFinished) -> str:
        """A run ended; the time that is left, in words, or nothing."""
        self._made += event.status != "known"
        remaining = event.total - event.number
        if not remaining or not self._made:
            return ""
        return f"about {duration((time.monotonic() - self._began) / self._made * remaining)} left"

    def without_name(self, text: str) -> str:
        """A warning without the name of the picture that it is about: the same for many pictures is said once."""
        own = re.escape(PurePosixPath(self.name).name)
        return re.sub(rf"(?<!\w){own}(?!\w)", "…", text) if own else text
