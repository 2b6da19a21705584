"""Progress of `inlay.run`: bars in a terminal or a notebook, lines elsewhere if they are asked for, never on stdout."""

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from ...core.errors import WorkflowError, clean, shorten
from ...core.events import Event, ItemStarted, Listener, NodeFinished, NodeProgress, NodeStarted, Noted, RunStarted
from ..cli.lines import Lines

PATIENCE = 0.5  # seconds after which a run is long enough to be watched


@contextmanager
def shown_progress(progress: object) -> Iterator[tuple[Listener, ...]]:
    """The listeners that show progress as asked.

    Args:
        progress: True; False; None: in a terminal or a notebook, and on the main thread.

    Raises:
        WorkflowError: something else.
    """
    wanted = require_choice(progress)
    main = threading.current_thread() is threading.main_thread()
    if not (main and (in_notebook() or sys.stderr.isatty()) if wanted is None else wanted):
        yield ()
        return
    with ExitStack() as drawn:
        yield (_Late(lambda: _display(drawn)),)


def require_choice(progress: object) -> bool | None:
    """Whether progress is to be shown; None if nothing was said.

    Raises:
        WorkflowError: something else was said.
    """
    if progress is None or isinstance(progress, bool):
        return progress
    raise WorkflowError.of(
        "progress", found=shorten(progress), expected="True, False or None", fix="give listeners=[…] for your own"
    )


def in_notebook() -> bool:
    """True in a process that shows pages, such as Jupyter's."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _display(drawn: ExitStack) -> Listener:
    """What draws here; it is closed with `drawn`."""
    if in_notebook():
        with suppress(ImportError):  # without tqdm
            bars = _NotebookBars()
            drawn.callback(bars.close)
            return bars
    elif sys.stderr.isatty():
        from ..cli.progress import Bars

        return drawn.enter_context(Bars(speaks=False))
    return _PlainLines()


class _Late:
    """Has a display made once a run turns out to be long; that then hears everything from the start."""

    shows_previews = False

    def __init__(self, make: Callable[[], Listener]) -> None:
        self._make, self._began = make, time.monotonic()
        self._waiting: list[Event] = []
        self._display: Listener | None = None

    def __call__(self, event: Event) -> None:
        self._waiting.append(event)
        if self._display is None and time.monotonic() - self._began >= PATIENCE:
            self._display = self._make()
        while self._display is not None and self._waiting:
            self._display(self._waiting.pop(0))


class _PlainLines(Lines):
    """Lines on stderr."""

    def __init__(self) -> None:
        super().__init__(lambda text: print(clean(text), file=sys.stderr, flush=True))

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, Noted):
            self._say(str(event))


class _NotebookBars:
    """Bars of tqdm, as widgets where the page has them: one for the workflow, one for the running node.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a page without widgets gets text
            from tqdm.auto import tqdm
        self._bar = tqdm
        self._all = tqdm(desc="workflow", leave=False, file=sys.stderr)
        self._node = tqdm(leave=False, file=sys.stderr)

    def __call__(self, event: Event) -> None:
        match event:
            case ItemStarted(name=name, number=number, total=total):
                self._all.set_description_str(clean(f"{number} of {total}: {name}"))
            case RunStarted(nodes=nodes):
                self._all.reset(total=nodes)
            case NodeStarted(node=node):
                self._node.reset()
                self._node.set_description_str(clean(node))
            case NodeProgress(step=step, total=total, note=note):
                self._node.total = total
                self._node.set_postfix_str(clean(note), refresh=False)
                self._node.update(step - self._node.n)
                if step == total:  # tqdm draws ten times a second
                    self._node.refresh()
            case NodeFinished():
                self._all.update()
            case Noted():
                self._bar.write(clean(str(event)), file=sys.stderr)
            case _:
                pass

    def close(self) -> None:
        """Take the bars away."""
        self._node.close()
        self._all.close()
