"""The arguments of `inlay.run` and `inlay.check`, which may be anything: what is wrong with them is a WorkflowError."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ...core.bounded.plain import At, plain
from ...core.disk_errors import disk_error, explain
from ...core.errors import InlayError, WorkflowError, first_line, shorten
from ...core.events import Listener
from ...core.spec import Registry
from ...core.user_paths import exists, expand, is_possible
from ..installed import installed_nodes


@contextmanager
def refusing() -> Iterator[None]:
    """In the block, which prepares a run, an error that nobody foresaw is one of the workflow too: nothing has run.

    Raises:
        WorkflowError: instead of any other exception.
    """
    try:
        yield
    except InlayError:
        raise
    except Exception as error:
        if (cause := disk_error(error)) is not None:
            found, expected, fix = explain(cause)
            raise WorkflowError.of(None, found=found, expected=expected, fix=fix) from error
        raise WorkflowError.of(
            None,
            found=f"an unforeseen {type(error).__name__}: {_said(error)}",
            expected="a workflow, settings and files that can be checked",
            fix="please report it, with the workflow",
        ) from error


def _said(error: Exception) -> str:
    try:
        return shorten(first_line(error))
    except Exception:  # noqa: BLE001 - an exception may be a caller's object too
        return "it cannot be shown"


def a_folder(value: object, name: str) -> Path:
    """A folder that a keyword names; it need not exist.

    Raises:
        WorkflowError: it is no path.
    """
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str) and (is_possible(text) or not text):
            return expand(text)
    raise WorkflowError.of(
        "--out" if name == "out" else name,  # as everywhere else
        found=shorten(value),
        expected="the path of a folder",
        fix=f"give {name} as text or as a pathlib.Path",
    )


def input_folder(value: object) -> Path:
    """The folder of `inputs`.

    Raises:
        WorkflowError: it is no path, or there is no such folder.
    """
    folder = a_folder(value, "inputs")
    if exists(folder) and folder.is_dir():
        return folder
    raise WorkflowError.of(
        "inputs",
        found=f"{'a file, not a folder' if exists(folder) else 'no such folder'}: {shorten(str(folder))}",
        expected="an input folder",
        fix="check --inputs",
    )


def as_list(nodes: object) -> list[object]:
    """Several modules, or one."""
    return list(nodes) if isinstance(nodes, Iterable) else [nodes]


def registry_of(nodes: object) -> Registry:
    """The installed nodes, and those of further modules.

    Raises:
        WorkflowError: a module cannot be read, or defines a node that exists already.
    """
    modules = as_list(nodes)
    if not modules:
        return installed_nodes()
    registry = Registry(installed_nodes().values())
    for module in modules:
        try:
            registry.add_module(module)
        except (TypeError, ValueError) as error:
            raise WorkflowError.of(
                "nodes", found=first_line(error), expected="modules with nodes of their own", fix="check nodes=…"
            ) from None
    return registry


def named_values(given: object, keyword: str) -> dict[str, object]:
    """Values by name as a workflow file could hold them.

    Raises:
        WorkflowError: every value that no file could hold.
    """

    def place(at: At) -> tuple[None, str]:
        return None, str(at[0]) if at else keyword

    if not isinstance(given, Mapping):
        raise WorkflowError.of(
            keyword, found=shorten(given), expected="values by name", fix=f'write {keyword}={{"node.setting": value}}'
        )
    return cast(dict[str, object], plain(given, place))


def as_listeners(listeners: object) -> tuple[Listener, ...]:
    """Functions that are called with every event.

    Raises:
        WorkflowError: something else.
    """
    found = tuple(listeners) if isinstance(listeners, Iterable) else (listeners,)
    if odd := [one for one in found if not callable(one)]:
        raise WorkflowError.of(
            "listeners", found=shorten(odd[0]), expected="functions that take an event", fix="give listeners=[print]"
        )
    return cast(tuple[Listener, ...], found)


def require_token(cancel: object) -> None:
    """Refuse what cannot cancel.

    Raises:
        WorkflowError: neither a token nor None.
    """
    try:
        usable = cancel is None or isinstance(getattr(cancel, "cancelled", None), bool)
    except Exception:  # noqa: BLE001 - a caller's object may raise anything
        usable = False
    if not usable:
        raise WorkflowError.of(
            "cancel",
            found=shorten(cancel),
            expected="a CancelToken",
            fix="give cancel=inlay.CancelToken()",
        )
