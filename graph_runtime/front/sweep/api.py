"""`inlay.sweep`: one run for each combination of values."""

import os
from collections.abc import Iterable, Mapping

from ...core.errors import WorkflowError, shorten
from ...core.events import CancelToken, Listener
from ..fast import with_fast
from ..jobs.job import Origin
from ..jobs.session import How
from ..python.keywords import a_folder, as_list, as_listeners, named_values, refusing, require_token
from ..python.load_workflow import WorkflowSource, load
from ..python.progress import shown_progress
from ..python.values import Held, held_pictures
from ..python.warn import WarningsRelay
from ..rerun.surroundings import load_nodes
from .ask import Asked
from .engine import engine_of
from .pace import pace_of
from .result import SweepResult
from .run_sweep import run_sweep
from .size import require_confirmed
from .sweep import find_sweep


def sweep(
    source: WorkflowSource,
    /,
    *,
    grid: Mapping[str, object] | None = None,
    images: object = None,
    best: str | None = None,
    yes: bool = False,
    engine: str = "local",
    jobs: int | None = None,
    ray_address: str | None = None,
    out: str | os.PathLike[str] = "inlay-out",
    inputs: str | os.PathLike[str] | None = None,
    device: str = "auto",
    memory: str | int | None = None,
    fast: str | Iterable[str] | None = None,
    nodes: Iterable[object] = (),
    set: Mapping[str, object] | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    progress: bool | None = None,
    partial: bool = False,
    **values: object,
) -> SweepResult:
    """Run a workflow once for each combination of values: `inlay sweep` from Python.

        inlay.sweep("zero_shot_inpaint", grid={"seed": range(10), "guidance": [3, 5, 7]}, out="sweep").sheets

    Args:
        source: as of `inlay.run`, as are the arguments that are not described here.
        grid: by the name of an input, or `node.setting`: a list of values, a `range`, or text as on the command line,
            "0..9" or "3,5,7". All are combined; the first one changes slowest in the table.
        images: a folder, a pattern, or a list of pictures for the input that takes the picture; masks beside count.
        best: a number of a node, "psnr.value"; where the node does not say which is better, "node.output:max" or :min.
        yes: run more than 1,000 combinations.
        engine: where they are made: "local", or "ray" on a Ray cluster.
        jobs: processes that share them (default: 1); on a cluster, the most workers (default: all there is room for).
        ray_address: of the cluster, "host:port"; default: that in `RAY_ADDRESS`, else one is started on this machine.
        out: the output folder; a second call goes on where the first one ended.
        inputs: see `inlay.run`.
        device: see `inlay.run`.
        memory: see `inlay.run`.
        fast: see `inlay.run`.
        nodes: see `inlay.run`.
        set: see `inlay.run`.
        cache: see `inlay.run`; without, combinations share results in memory only.
        metadata: see `inlay.run`.
        listeners: called with every event.
        cancel: see `inlay.run`.
        progress: see `inlay.run`.
        partial: see `inlay.run`.
        **values: inputs that all combinations share.

    Returns:
        The sheets, the table, the best combination, and a row for each when it is iterated.

    Raises:
        WorkflowError: a value is wrong, or there are too many combinations; nothing ran.
        Cancelled: the token was cancelled; what is done stays.
    """
    relay = WarningsRelay(cancel)
    with held_pictures() as held, shown_progress(progress) as watchers:
        with refusing():
            require_token(cancel)
            heard: tuple[Listener, ...] = (relay, *watchers, *as_listeners(listeners))
            given = named_values(held.paths_for(values), "inputs")
            settings = named_values(held.paths_for(with_fast(set, fast)), "set")
            asked = [*_asked(held, grid)]
            pictures = _pictures(held, images)
            load_nodes()
            modules = as_list(nodes)
            loaded = load(source, inputs=inputs, out=a_folder(out, "out"), nodes=modules, partial=partial)
            loaded.held = held
            if loaded.expander is not None:
                loaded.expand(given)
            origin = Origin(source, inputs, tuple(modules), partial)
            found = find_sweep(loaded, given, settings, origin, asked, images=pictures, best=best)
            require_confirmed(found.grid, pace_of(found, device), confirmed=yes is True)
            how, made_by = How(device, memory, cache, metadata), engine_of(engine, jobs, ray_address)
        with relay.stopping():
            return run_sweep(found, how, made_by, listeners=heard, cancel=relay)


def _asked(held: Held, grid: object) -> Iterable[Asked]:
    """What `grid` asks for.

    Raises:
        WorkflowError: it has no such form, or a value that no file could hold.
    """
    if grid is None:
        return
    if not isinstance(grid, Mapping):
        raise WorkflowError.of(
            "grid", found=shorten(grid), expected="values by name", fix='write grid={"seed": range(10)}'
        )
    for name, values in grid.items():
        if not isinstance(name, str):
            raise WorkflowError.of("grid", found=shorten(name), expected="names as text", fix="write them in quotes")
        if isinstance(values, str | range):
            yield Asked("--grid", name, values)
            continue
        if isinstance(values, Mapping) or not isinstance(values, Iterable):
            values = [values]
        plain = named_values(held.paths_for({name: list(values)}), "grid")[name]
        assert isinstance(plain, list), "a list stays one"
        yield Asked("--grid", name, plain)


def _pictures(held: Held, images: object) -> object:
    if images is None:
        return None
    if isinstance(images, os.PathLike):
        return os.fspath(images)
    return named_values(held.paths_for({"images": images}), "images")["images"]
