"""What comes in at a node's door: tensors on the CPU, wherever they were made.

Between nodes every tensor is on the CPU; only inside a lease does anything compute elsewhere. A host that keeps its
pictures on a GPU (ComfyUI with `--gpu-only`) hands them over as they are, a picture on the GPU beside a mask on the
CPU. Both are brought here at once, in this one place, and what nodes give out is on the CPU again.
"""

import sys
from typing import Any


def arrived(value: Any) -> Any:
    """A tensor, or a list of tensors, on the CPU; anything else, and what is there already, as it is."""
    torch = sys.modules.get("torch")
    if torch is None:
        return value
    if isinstance(value, torch.Tensor):
        return value if value.device.type in ("cpu", "meta") else value.detach().cpu()
    if isinstance(value, list) and any(isinstance(item, torch.Tensor) for item in value):
        return [arrived(item) for item in value]
    return value
