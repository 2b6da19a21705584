"""What a run offers its nodes: models, progress, cancelling, and files below the output folder."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from .disk_errors import disk_error, explain
from .errors import BadInput, Cancelled, clean, shorten
from .events import CancelToken, Event, Listener, NodeProgress, Saved, Warned, shows_previews
from .files import make_folder, named, numbered
from .memory.descriptions import AnyDescription, Described, M, ModelDescription
from .memory.manager import ModelManager
from .run.prefixes import with_date, with_facts, without_dates
from .user_paths import is_possible

if TYPE_CHECKING:
    from PIL.Image import Image

    from .run.plan import Step
    from .store.disk import DiskStore


Around = Callable[["Step", "Context"], AbstractContextManager[object]]
OnFile = Callable[[str, str, str, Path], None]


class FileNames(Protocol):
    """What a run's files are called, where `<prefix>_00001` is not meant."""

    def prefix(self, node: str, prefix: str) -> str:
        """The name below the output folder, without number and suffix, of a file that `node` saves as `prefix`."""

    def publish(self, written: Path, final: Path) -> bool | None:
        """A file is about to get its name; true if it may replace what has that name, None if that is the same."""


#: What Windows takes for a device, with any suffix, in any folder.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?", re.IGNORECASE)


def safe_prefix(prefix: str, *, windows: bool = os.name == "nt") -> bool:
    """True if files of that prefix land below the output folder (links are checked when writing).

    A name with control characters, or with marks that turn the direction of text, is refused.

    Args:
        prefix: of a node that saves.
        windows: also refuse the names that Windows does not keep as they are: devices, `a:b`, a dot at the end.
    """
    prefix = without_dates(prefix)
    path = Path(prefix)
    possible = is_possible(prefix) and len(path.name.encode()) <= 200
    if clean(prefix) != prefix or {"\t", "\n"} & set(prefix):
        return False
    if windows and not all(map(_windows_keeps, re.split(r"[\\/]", prefix))):
        return False
    return possible and not path.is_absolute() and bool(path.name) and ".." not in path.parts


def _windows_keeps(name: str) -> bool:
    odd = re.search(r'[<>:"|?*\x00-\x1f]', name) or (name.endswith((" ", ".")) and name not in (".", ".."))
    return not odd and not _DEVICES.fullmatch(name)


class Context:
    """Handed to a node that declares a parameter of this type. `Context()` alone is enough for a direct call."""

    def __init__(
        self,
        models: ModelManager | None = None,
        *,
        out: str | os.PathLike[str] = "inlay-out",
        listeners: tuple[Listener, ...] = (),
        cancel: CancelToken | None = None,
        metadata: dict[str, str] | None = None,
        store: "DiskStore | None" = None,
        bare: bool = False,
    ) -> None:
        self.models = models or ModelManager()
        self.out = Path(out)
        self.listeners = listeners
        self.cancel = cancel or CancelToken()
        self.metadata = dict(metadata or {})  # text chunks that saved pictures carry, e.g. {"inlay": "<workflow>"}
        self.bare = bare  # saved pictures carry only their pixels and what is needed to show them
        self.store = store  # where nodes store long computations, by content; None: nowhere
        self.spent: Callable[[str], float | None] = lambda socket: None  # see `time_of`
        self.node = ""  # the running node's name, kept up to date by the executor
        self.saved: list[Path] = []
        self.said: list[str] = []  # warnings of the running node
        self.asked_time = False  # a node's result depends on how long others took
        self.setting_of: Callable[[str], object] = lambda word: None  # by `node.setting`; None if it is none
        self.on_file: OnFile | None = None  # called with node, prefix, suffix and path before a file gets its name
        self.names: FileNames | None = None
        self.memory: Around | None = None  # keeps room for a step, and measures what it needs
        self._warned: set[Warned] = set()

    @property
    def device(self) -> str:
        """The device that computes, e.g. `cpu` or `cuda:0`."""
        return self.models.devices[0]

    @overload
    def lease(self, description: ModelDescription[M]) -> AbstractContextManager[M]: ...
    @overload
    def lease(self, description: Described) -> AbstractContextManager[Any]: ...  # Any: the port does not say
    def lease(self, description: Described) -> AbstractContextManager[object]:
        """The weights of `description`, resident for as long as the `with` block lasts."""
        return self.models.lease(cast(AnyDescription, description))

    def time_of(self, socket: str) -> float | None:
        """Seconds that all nodes upstream of an input of the running node took in this run.

        None if a part of it came from a cache, or nothing is measured (a direct call, another host).
        """
        self.asked_time = True
        return self.spent(socket)

    @property
    def shows_previews(self) -> bool:
        """True if somebody looks at the previews that come with progress; else they need not be made."""
        return any(map(shows_previews, self.listeners))

    def emit(self, event: Event) -> None:
        """Send an event to every listener; a listener that fails is logged and does not stop the run."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                logging.getLogger("inlay").exception("a listener failed on %s", type(event).__name__)

    def progress(self, step: int, total: int, preview: "Image | None" = None, note: str = "") -> None:
        """Report `step` of `total`, with a short note; raises `Cancelled` when the user asked to stop."""
        self.check_cancelled()
        if self.listeners:
            self.emit(NodeProgress(self.node, step, total, preview, note))

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the user asked to stop."""
        if self.cancel.cancelled:
            raise Cancelled(f"cancelled in node {self.node}" if self.node else "cancelled")

    def warn(self, message: str) -> None:
        """Warn the user, once per run; the node's name is added."""
        self.said.append(message)
        self.pass_on(Warned(self.node or None, message))

    def pass_on(self, warning: Warned) -> None:
        """Emit a warning that names its node, such as those of the check; the same warning is not repeated."""
        if warning not in self._warned:
            self._warned.add(warning)
            self.emit(warning)

    def announce(self, path: Path) -> None:
        """Report a file or folder below the output folder that a node writes itself, such as a model."""
        self.saved.append(path)
        self.emit(Saved(self.node, str(path)))

    def _named(self, folder: Path, name: str, suffix: str) -> AbstractContextManager[Path]:
        if self.names is None:
            return numbered(folder, name, suffix, self.announce)
        return named(folder, name, suffix, self.names.publish, self.announce)

    @contextmanager
    def new_file(self, prefix: str, suffix: str, facts: Mapping[str, object] = MappingProxyType({})) -> Iterator[Path]:
        """A path to write to; if the block succeeds, the file appears as `<out>/<prefix>_00001<suffix>`.

        The next free number is used, and nothing is overwritten; in a job, the file is named after what the run reads.
        No half-written file remains: the bytes go to a
        hidden file beside it, which is renamed at the end.

        Args:
            prefix: may hold words such as `%date%` and `%width%` (run/prefixes.py).
            suffix: with its dot.
            facts: of what is written, by such a word.

        Raises:
            BadInput: `prefix` would leave the output folder, or nothing can be written there; says why.
        """
        root = Path(os.path.realpath(self.out))
        if self.names is not None and safe_prefix(prefix):
            prefix = self.names.prefix(self.node, prefix)
        prefix, unknown = with_facts(prefix, lambda word: facts.get(word, self.setting_of(word)))
        for word in unknown:
            self.warn(f"prefix: %{word}% stands for nothing here, and stays as it is")
        told, prefix = prefix, with_date(prefix, datetime.now().astimezone())
        wanted = Path(prefix)
        folder = Path(os.path.realpath(root / wanted.parent)) if safe_prefix(prefix) else root
        if not safe_prefix(prefix) or not folder.is_relative_to(root):
            raise BadInput(
                "prefix",
                found=shorten(prefix),
                expected="a name below the output folder",
                fix="use a plain name such as 'image' or 'tests/image'",
            )
        try:
            make_folder(folder)
            with self._named(folder, wanted.name, suffix) as path:
                yield path
                if self.on_file is not None:
                    self.on_file(self.node, told, suffix, path)
        except (BadInput, Cancelled):
            raise
        except Exception as error:
            cause = disk_error(error)
            if cause is None:
                raise
            why, _, fix = explain(OSError(cause.errno, cause.strerror) if cause.errno else cause)
            raise BadInput(
                "prefix",
                found=f"{str(folder)!r} cannot be written to ({cause.strerror or cause}): {why}",
                expected="an output folder with room for the file",
                fix=fix,
            ) from error
