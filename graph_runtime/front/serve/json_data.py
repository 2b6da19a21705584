"""JSON whose shape other parts have checked, or that goes between two processes of one release."""

from typing import Any

Json = dict[str, Any]  # Any: see above
