"""Samples that the host's page shows: each is copied into the host's input folder when the page first asks to see it.

The host's preview, its mask editor and its own loader know files of its folders alone. Nodes read a sample where it
lies, so nothing is copied before somebody opens an example.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, MutableSequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Protocol

from ....core.files import make_folder, write_new
from .folders import host_folder
from .modules import host_module
from .samples import samples

VIEWS = frozenset({"/view", "/api/view"})  # where the page gets pictures


class Request(Protocol):
    """A request as the host's server has it."""

    path: str
    query: Mapping[str, str]


def serve_samples() -> None:
    """Have the host's server put samples in place; does nothing without one, or when it listens already."""
    server = getattr(getattr(host_module("server"), "PromptServer", None), "instance", None)
    middlewares = getattr(getattr(server, "app", None), "middlewares", None)
    if isinstance(middlewares, MutableSequence) and _put_in_place not in middlewares:
        with suppress(RuntimeError):
            middlewares.append(_put_in_place)


async def _put_in_place(request: Request, handler: Callable[[Request], Awaitable[object]]) -> object:
    if request.path in VIEWS:
        put_in_place(request.query.get("subfolder", ""), request.query.get("filename", ""))
    return await handler(request)


_put_in_place.__middleware_version__ = 1  # type: ignore[attr-defined] # takes a request and the next handler


def put_in_place(subfolder: str, filename: str) -> bool:
    """Copy a sample into the host's input folder; false if it is none, is there already, or cannot be copied."""
    name = f"{subfolder}/{filename.removesuffix(' [input]')}".replace("\\", "/").strip("/")
    source, folder = samples().get(name), host_folder("input")
    if source is None or folder is None or not source.is_file():
        return False
    target = folder.joinpath(*PurePosixPath(name).parts)
    if os.path.lexists(target) or not _is_below(target.parent, folder):
        return False
    with suppress(OSError):
        make_folder(target.parent)
        return _is_below(target.parent, folder) and write_new(target, source.read_bytes())
    return False


def _is_below(path: os.PathLike[str], folder: os.PathLike[str]) -> bool:
    """True unless a link leads out of the folder."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath((real, root)) == root
