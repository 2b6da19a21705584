"""Models on the Hugging Face hub: from the local cache while checking, downloaded when they are first needed.

Only what is used is fetched: configurations, the tokenizer, and one variant of each component's safetensors weights.
"""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...graph_runtime import ModelError
from ...graph_runtime.core.reading.places import PICKLES
from ..config import Config
from ..folder import COMPONENTS, FAMILIES, FLAT, ModelFolder, WeightFiles, pickled
from .client import Request, download, listing
from .snapshots import note_revision, snapshots

EXTRAS = (
    "feature_extractor/preprocessor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)  # small, and used in place
_resolved: dict["HubModel", ModelFolder] = {}  # lookups of this process; a snapshot's files never change


@dataclass(frozen=True)
class HubModel:
    """A repository on the hub.

    Attributes:
        repository: `owner/name`.
        revision: branch, tag or commit; None for the default branch.
        variant: requested file variant, or None.
        prediction: a prediction type that overrides the scheduler's own.
        family: the kind of model; it decides which components the model must have.
        near: a folder or file on this machine that may have been meant, for messages.
    """

    repository: str
    revision: str | None = None
    variant: str | None = None
    prediction: str | None = None
    family: str = "stable_diffusion"
    near: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The repository, with its revision if one was given."""
        return self.repository + (f"@{self.revision}" if self.revision else "")

    @property
    def known(self) -> bool:
        """True when every file that is needed is in the local cache. Never touches the network."""
        return self._cached() is not None

    def folder(self) -> ModelFolder:
        """The model on disk, downloaded if necessary.

        Raises:
            ModelError: there is no such model, or no network; the message lists the places that were searched.
        """
        return self._cached() or self._download()

    def config(self, component: str) -> Config:
        """The configuration of a component."""
        return self.folder().config(component)

    def index(self) -> Config:
        """The contents of `model_index.json`."""
        return self.folder().index()

    def optional(self, component: str) -> Config:
        """The configuration of an optional component; empty if it is absent."""
        return self.folder().optional(component)

    def stamp(self, component: str) -> str:
        """State of a component's files."""
        return self.folder().stamp(component)

    def weights(self, component: str) -> WeightFiles:
        """The weight files of a component."""
        return self.folder().weights(component)

    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer."""
        return self.folder().tokenizer_folder()

    def _cached(self) -> ModelFolder | None:
        if self not in _resolved:
            for root in snapshots(self.repository, self.revision):
                with contextlib.suppress(OSError, ValueError, ModelError):  # incomplete
                    _resolved[self] = self._complete(root)
                    break
            else:
                return None  # it will be downloaded
        note_revision(_resolved[self].root)
        return _resolved[self]

    def _complete(self, root: Path) -> ModelFolder:
        """The folder, if everything needed is in it."""
        flat = self.family in FLAT and (root / "config.json").is_file() and not (root / "unet").is_dir()
        folder = ModelFolder(root, self.name, self.variant, flat, self.prediction)
        for component in self._components():
            folder.stamp(component)
        return folder

    def _components(self) -> tuple[str, ...]:
        return FAMILIES[self.family]

    def _download(self) -> ModelFolder:
        asked = Request(self.repository, self.revision, "model", self.near)
        found = listing(asked)
        wanted = needed_files(found.names, self._components(), self.variant, self.name)
        wanted += [name for name in found.names if name.startswith(EXTRAS)]
        root = download(asked, wanted, found.sizes)
        _resolved[self] = self._complete(root)
        return _resolved[self]


def needed_files(names: Iterable[str], components: Iterable[str], variant: str | None, repository: str) -> list[str]:
    """The files of a repository that are needed: configurations, tokenizer, one variant of each component's weights.

    Raises:
        ModelError: a component has no safetensors, or not the variant.
    """
    names = sorted(names)
    flat = not any(name.startswith("unet/") for name in names)
    wanted = [name for name in names if name == "model_index.json"]
    for component in components:
        prefix = "" if flat else f"{component}/"
        inside = [name for name in names if name.startswith(prefix) and "/" not in name.removeprefix(prefix)]
        stem = COMPONENTS[component][1]
        wanted += [name for name in inside if name.endswith((".json", ".txt"))]
        if stem is None:
            continue
        pattern = re.compile(rf"{re.escape(prefix + stem)}(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors")
        found: dict[str | None, list[str]] = {}
        for name in inside:
            if match := pattern.fullmatch(name):
                found.setdefault(match.group(1), []).append(name)
        if not found and any(name.endswith(PICKLES) for name in inside):
            raise pickled(f"{repository}/{next(name for name in inside if name.endswith(PICKLES))}")
        if not found or (variant is not None and variant not in found):
            kinds = ", ".join(sorted(str(kind or "plain") for kind in found)) or "no safetensors at all"
            raise ModelError(
                "variant" if found else "source",
                found=f"{repository} with {kinds} for its {component}",
                expected=f"{variant!r} files" if variant else f"weights of a {component} as .safetensors",
                fix="set variant to null" if found else "use another model, or another revision of it",
            )
        wanted += found.get(variant) or found[min(found, key=str)]
    return sorted(set(wanted))
