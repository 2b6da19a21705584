"""The releases that inlay was tested with, in one place: `inlay doctor` says which installed ones lie outside.

The oldest are those that pyproject.toml asks for, and `.ci/floor-test` runs the main jobs on them; `.ci/newest` says
when a release is newer than what is noted here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from packaging.version import InvalidVersion, Version

#: Library → (oldest, newest) release, the newest by its first two numbers.
TESTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torch": ("2.6", "2.13"),
        "diffusers": ("0.35", "0.42"),
        "transformers": ("4.50", "5.24"),
        "accelerate": ("1.0", "1.15"),
        "peft": ("0.17", "0.21"),
        "huggingface_hub": ("0.34", "2.4"),
        "safetensors": ("0.5", "0.8"),
        "numpy": ("1.26", "2.4"),
        "scipy": ("1.12", "1.17"),
        "pillow": ("11.3", "13.0"),
        "networkx": ("3.2", "3.6"),
        "pydantic": ("2.8", "2.14"),
        "jaxtyping": ("0.2.36", "0.3"),
        "rich": ("13.7", "15.0"),
        "platformdirs": ("4.0", "4.14"),
        "packaging": ("23.1", "26.4"),
        "docstring_parser": ("0.16", "0.18"),
    }
)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: `2.13.0+cpu` → (2, 13, 0); none where it does not follow PEP 440."""
    try:
        return Version(version).release
    except InvalidVersion:
        return ()


def older(name: str, version: str) -> bool:
    """True for a release before the oldest that was tested."""
    return release(version) < release(TESTED[name][0])


def newer(name: str, version: str) -> bool:
    """True for a release after the newest that was tested; the third number does not count."""
    return release(version)[:2] > release(TESTED[name][1])[:2]
