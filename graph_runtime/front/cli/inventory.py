"""`inlay models list`: the models that can be used without a download."""

from pathlib import Path
from typing import Any

from ...core.user_paths import home


def at_hand() -> list[dict[str, Any]]:
    """Name, kind of place, folder and bytes of every model found: embedded, in inlay's home, in the hub's cache."""
    found = [
        _entry("dollhouse" if path.name == "weights" else f"dollhouse-{path.name}", "embedded", path)
        for path in sorted((Path(__file__).resolve().parents[3] / "dollhouse").glob("*"))
        if (path / "model_index.json").is_file() or (path / "config.json").is_file()
    ]
    found += [
        _entry(path.parent.name, "home", path.parent) for path in sorted((home() / "models").glob("*/model_index.json"))
    ]
    return found + _hub_cache()


def _entry(name: str, place: str, folder: Path) -> dict[str, Any]:
    size = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    return {"name": name, "place": place, "folder": str(folder), "bytes": size}


def _hub_cache() -> list[dict[str, Any]]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return []
    return [
        {"name": repo.repo_id, "place": "hub cache", "folder": str(repo.repo_path), "bytes": repo.size_on_disk}
        for repo in sorted(cache.repos, key=lambda repo: repo.repo_id)
        if repo.repo_type == "model"
    ]


def render(found: list[dict[str, Any]]) -> str:
    """A table for the terminal."""
    if not found:
        return "no models at hand; name a hub id or a folder with --source"
    width = max(len(item["name"]) for item in found)
    return "\n".join(
        f"{item['name']:{width}}  {item['place']:9}  {item['bytes'] / 2**20:8.1f} MiB  {item['folder']}"
        for item in found
    )
