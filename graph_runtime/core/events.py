"""Progress, warnings, previews and cancel: one stream that every front end reads.

An executor emits plain frozen events; the command line draws bars from them, the host adapter forwards them to
the host's own bars, and `Result.events` keeps them. With nobody listening, emitting costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from .memory.decisions import Decision


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan is ready; `nodes` will be looked at."""

    nodes: int


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node begins."""

    node: str
    type: str


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """`step` of `total` done inside a node; `preview` is a picture or None, `note` a few words such as a loss."""

    node: str
    step: int
    total: int
    preview: "Image | None" = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NodeFinished:
    """A node ended after `seconds` of wall time; `cached` means that its result was known already."""

    node: str
    type: str
    seconds: float
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, with the node it concerns (None: the run)."""

    node: str | None
    message: str

    def __str__(self) -> str:
        return f"warning: {self.node}: {self.message}" if self.node else f"warning: {self.message}"


@dataclass(frozen=True, slots=True)
class Noted(Warned):
    """Something worth knowing that is no fault, such as what was chosen; shown like a warning, under another word."""

    def __str__(self) -> str:
        return f"note: {self.message}"


@dataclass(frozen=True, slots=True)
class ModelMoved:
    """A decision of the model manager: what it loaded, evicted or retried, and why.

    `decision` holds it by its parts, with the node that it was made for; a download has none.
    """

    message: str
    node: str = ""
    decision: "Decision | None" = None


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """What a node took on the device, in bytes: weights that it leased together, and the most that it made beside them.

    `resident` are all weights that were there then. `forecast` is what was known of `activations` before: from earlier
    runs, or from the node; None without either.
    """

    node: str
    type: str
    weights: int
    activations: int
    resident: int
    forecast: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A file appeared under the output folder."""

    node: str
    path: str


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """Run `number` of the `total` runs of a job begins; `name` is its file's, without folder and suffix."""

    name: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class ItemFinished:
    """A run of a job ended after `seconds`: `done`, `known` from an earlier start, or `failed` with a message."""

    name: str
    number: int
    total: int
    status: str
    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """All requested outputs are there."""

    seconds: float


Event = (
    RunStarted
    | NodeStarted
    | NodeProgress
    | NodeFinished
    | Warned
    | ModelMoved
    | NodeMemory
    | Saved
    | ItemStarted
    | ItemFinished
    | RunFinished
)
Listener = Callable[[Event], None]


def shows_previews(listener: Listener) -> bool:
    """False for a listener that says so by an attribute `shows_previews`: if all do, no preview is made for it."""
    return bool(getattr(listener, "shows_previews", True))


class Record(list[Event]):
    """A listener that keeps all events, without their previews."""

    shows_previews = False

    def __call__(self, event: Event) -> None:
        """Keep one event."""
        had = isinstance(event, NodeProgress) and event.preview is not None
        self.append(replace(event, preview=None) if had else event)  # type: ignore[arg-type]  # of NodeProgress only


class CancelToken:
    """A flag one thread sets and the running node reads between steps."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set = False

    def cancel(self) -> None:
        """Ask the run to stop at the next step."""
        self._set = True

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._set
