"""`inlay models list`: the models that can be used without a download."""

from dataclasses import dataclass
from pathlib import Path

from ....nodes.pack import PACK
from ...core.user_paths import home


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine: `place` is `embedded`, `home` (of inlay) or `hub cache`."""

    name: str
    place: str
    folder: str
    bytes: int


def local_models() -> list[LocalModel]:
    """Every model found: embedded in the packs, in inlay's home, in the hub's cache."""
    embedded = [_model(name, "embedded", path) for name, path in PACK.embedded().items()]
    folders = [path.parent for path in sorted((home() / "models").glob("*/model_index.json"))]
    return [*embedded, *(_model(path.name, "home", path) for path in folders), *_hub_cache()]


def _model(name: str, place: str, folder: Path) -> LocalModel:
    size = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    return LocalModel(name, place, str(folder), size)


def _hub_cache() -> list[LocalModel]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return []
    return [
        LocalModel(repo.repo_id, "hub cache", str(repo.repo_path), repo.size_on_disk)
        for repo in sorted(cache.repos, key=lambda repo: repo.repo_id)
        if repo.repo_type == "model"
    ]


def render(models: list[LocalModel]) -> str:
    """A table for the terminal."""
    if not models:
        return "no local models; give a hub id or a folder with --source"
    width = max(len(model.name) for model in models)
    return "\n".join(
        f"{model.name:{width}}  {model.place:9}  {model.bytes / 2**20:8.1f} MiB  {model.folder}" for model in models
    )
