"""Sources of LoRA files: a path, a folder with one file, or a hub repository."""

from dataclasses import dataclass, field
from pathlib import Path

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import shorten
from ...graph_runtime.core.notices import notice
from ...graph_runtime.core.reading.places import PICKLES
from ..folder import pickled
from ..hub.client import Listing, Request, download, listing
from ..hub.snapshots import require_revision, snapshots
from ..source import HUB_ID, is_there, near_local, not_here

#: File names that diffusers, peft and inlay use.
USUAL = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "lora.safetensors")
CONFIG = "adapter_config.json"  # where peft keeps α


@dataclass(frozen=True)
class LoraSource:
    """A LoRA: its path, or its repository until it is on this machine.

    Attributes:
        path: the file; empty while it is not on this machine.
        repository: `owner/name`, or empty.
        revision: branch, tag or commit; None for the default branch.
        near: a file on this machine that may have been meant, for messages.
    """

    path: str = ""
    repository: str = ""
    revision: str | None = None
    near: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.repository or Path(self.path).name

    def fetched(self) -> "LoraSource":
        """The same source with its file on this machine, downloaded if necessary.

        Raises:
            ModelError: no such repository, no network, or not exactly one LoRA in it.
        """
        if self.path:
            return self
        asked = Request(self.repository, self.revision, "LoRA", self.near)
        found: Listing = listing(asked)
        name = _only(list(found.names), self.repository)
        beside = [other for other in found.names if other == str(Path(name).with_name(CONFIG).as_posix())]
        return LoraSource(str(download(asked, [name, *beside], found.sizes) / name), self.repository, self.revision)


def locate_lora(source: str, revision: str | None = None) -> LoraSource:
    """The LoRA that `source` names. Never touches the network.

    Raises:
        ModelError: there is no such file, and the name cannot be a hub id.
    """
    path = Path(source).expanduser()
    if path.is_absolute():
        return LoraSource(str(_local(path)))
    if HUB_ID.fullmatch(source):
        return _cached(source, revision)
    if is_there(source):
        raise ModelError(
            "source",
            found=f"{shorten(source)}, which exists but is not a LoRA",
            expected="a .safetensors file, or a folder with one in it",
            fix=f"give the file; write a folder as ./{source}",
        )
    raise ModelError(
        "source",
        found=shorten(source),
        expected="a .safetensors file that exists, or a hub id such as 'owner/name'",
        fix="a path must exist where it is looked for",
    )


def _local(path: Path) -> Path:
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.suffix in (".safetensors", *PICKLES))
        return path / _only(names, path.name)
    if not path.exists():
        raise ModelError("source", found=f"{path}, which does not exist", expected="a LoRA file", fix="check the path")
    if path.suffix in PICKLES:
        raise pickled(path.name)
    if path.suffix != ".safetensors":
        raise ModelError(
            "source", found=f"the file {path.name}", expected="a .safetensors file", fix="give the LoRA file itself"
        )
    return path


def _cached(repository: str, revision: str | None) -> LoraSource:
    require_revision(revision)
    try:
        root = snapshots(repository, revision)[0]
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.safetensors"))
        return LoraSource(str(root / _only(names, repository)), repository, revision)
    except (IndexError, OSError, ValueError, ModelError):  # missing or incomplete
        near = near_local(repository)
        notice(not_here(repository, near))
        return LoraSource("", repository, revision, near)


def _only(names: list[str], where: str) -> str:
    """The LoRA among a folder's files: the one with the usual name, or the only safetensors file."""
    found = [name for name in names if name.endswith(".safetensors")]
    for name in USUAL:
        if name in found:
            return name
    if not found and any(name.endswith(PICKLES) for name in names):
        raise pickled(f"{where}/{next(name for name in names if name.endswith(PICKLES))}")
    if len(found) != 1:
        raise ModelError(
            "source",
            found=f"{where} with {len(found)} safetensors files" + (f": {', '.join(found[:8])}" if found else ""),
            expected=f"{USUAL[0]}, or one alone",
            fix="give the file itself",
        )
    return found[0]
