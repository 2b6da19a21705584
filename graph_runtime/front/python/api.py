"""`inlay.run` and `inlay.check`: from a workflow to its results."""

import os
from collections.abc import Iterable, Mapping

from ...core.check.findings import Report
from ...core.errors import WorkflowError
from ...core.events import CancelToken, Listener
from ...core.reads import collect_reads
from ...core.store.types import StorableTypes
from ...core.workflow import Workflow
from ..device import parse_memory, require_device
from ..fast import with_fast
from ..jobs.job import Origin, find_job
from ..profile.keyword import place_of, profiled
from ..rerun.keep import recording
from ..rerun.repeat import repeat
from ..rerun.request import key_of_call
from ..rerun.surroundings import load_nodes, nodes_are_loaded
from .check_loaded import check_loaded, take_from
from .keywords import as_list, as_listeners, named_values, refusing, registry_of, require_token
from .load_workflow import WorkflowSource, load
from .progress import require_choice, shown_progress
from .result import Result, files_of
from .run_loaded import run_loaded
from .sources import owned
from .values import held_pictures
from .warn import WarningsRelay


def check(
    source: WorkflowSource,
    /,
    *,
    out: str | os.PathLike[str] | None = "inlay-out",
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
    jobs: int = 1,
    progress: bool | None = None,
    partial: bool = False,
    profile: bool | str | os.PathLike[str] = False,
    **values: object,
) -> Report:
    """Find the problems of a run without running it; takes the arguments of `run`.

    Returns:
        A list of the problems, empty if there are none; its `warnings` are those that the run would start with.
    """
    from ..jobs.check_job import check_job

    report = Report()
    keywords = (lambda: as_listeners(listeners), lambda: require_token(cancel), lambda: require_choice(progress))
    with held_pictures() as held:
        try:
            with refusing():
                given = named_values(held.paths_for(values), "inputs")
                settings = named_values(held.paths_for(with_fast(set, fast)), "set")
                loaded = load(source, inputs=inputs, out=held.output(out), nodes=nodes, partial=partial)
                loaded.held = held
                job = find_job(loaded, given, settings, Origin(source, inputs, tuple(as_list(nodes)), partial))
                if job is None:
                    held.set_values(loaded, given, settings)
        except WorkflowError as error:
            report.take(error)
            return take_from(report, lambda: require_device(device), lambda: parse_memory(memory), *keywords)
        if job is not None:
            found = check_job(job, device=device, memory=memory)
        else:
            found = check_loaded(loaded, device=device, memory=memory)
        return take_from(found, *keywords, lambda: place_of(profile, out, loaded.out if job is None else None))


def run(
    source: WorkflowSource,
    /,
    *,
    out: str | os.PathLike[str] | None = "inlay-out",
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
    jobs: int = 1,
    progress: bool | None = None,
    partial: bool = False,
    profile: bool | str | os.PathLike[str] = False,
    **values: object,
) -> Result:
    """Run a workflow.

    A folder, a pattern or a list, given for an input that is a picture or a mask, is a job: one run for each. Then the
    result is a `JobResult`, whose `results` lists the `Result` of each picture, or its error.

    Args:
        source: a JSON file, the bare name of a shipped workflow, a picture that carries its workflow, a dict or a
            Workflow.
        out: the output folder; None: no file is written, and the pictures are in the result.
        inputs: a folder that paths in the file may point into.
        device: auto (every GPU like the first), cpu, cuda:0, mps, or several: "cuda:0,cuda:1".
        memory: the most memory that weights, activations and training may use on the device together, e.g. "6GB";
            None: what is free there, less a margin.
        fast: evaluate models faster, with other bytes: "compile", "cuda-graphs", "channels-last", "step-cache", or
            several.
        nodes: modules with further nodes.
        set: {"node.parameter": value} for settings that are not inputs of the workflow.
        cache: reuse results of earlier runs that depend on the same data and settings.
        metadata: save pictures with their workflow and the metadata of their source (EXIF, DPI, text); otherwise only
            with their colour profile.
        listeners: called with every event.
        cancel: a token; `cancel.cancel()` from another thread stops at the next step.
        jobs: processes that share the pictures of a job.
        partial: of a ComfyUI file, leave out nodes of other packs, and what cannot run without them.
        progress: show progress on stderr; None: in a terminal or a notebook, on the main thread.
        profile: measure the run: a folder for the profile; True: a numbered one in the output folder.
            `result.profile` is where it is.
        **values: the workflow's own inputs by name. Where one takes the path of a picture, it may also be the picture:
            a Pillow picture, a NumPy array or a torch tensor (`[h w]`, `[h w c]`, `[b h w c]`; uint8, uint16, bool, or
            floats from 0 to 1).

    Warnings go through `warnings` as `InlayWarning`.

    Raises:
        WorkflowError: the input is wrong; nothing ran.
        NodeError: a node failed; in a job, that is the result of its picture.
        Cancelled: the token was cancelled.
    """
    from ..jobs.run_job import run_job
    from ..jobs.session import How

    relay = WarningsRelay(cancel)
    with held_pictures() as held, shown_progress(progress) as watchers:
        with refusing(), collect_reads() as asked:
            nodes, folder = as_list(nodes), held.output(out)
            heard: tuple[Listener, ...] = (relay, *watchers, *as_listeners(listeners))
            require_token(cancel)
            if isinstance(source, (Workflow, Mapping)):
                source = owned(source)
            given = named_values(held.paths_for(values), "inputs")
            settings = named_values(held.paths_for(with_fast(set, fast)), "set")
            contents = held.contents_of
            where = inputs, device, memory, metadata, nodes, partial
            whole = cache and profile is False
            key = key_of_call(source, contents(given), contents(settings), *where) if whole else None
        with relay.stopping():
            if not nodes_are_loaded():
                types = StorableTypes(lambda: registry_of(nodes))
                known = repeat(key, folder, types=types, listeners=heard, cancel=relay)
                if known is not None:
                    files = files_of(known.savers, known.events)
                    return held.released(Result(known.outputs, known.paths, known.events, files, known.text))
            with recording(key, _label(source), asked=asked) as record:
                with refusing():
                    load_nodes()
                    loaded = load(source, inputs=inputs, out=folder, nodes=nodes, partial=partial)
                    loaded.held = held
                    job = find_job(loaded, given, settings, Origin(source, inputs, tuple(nodes), partial))
                    if job is None:
                        held.set_values(loaded, given, settings)
                    profile_place = place_of(profile, out, folder if job is None else None)
                if job is not None:
                    how = How(device, memory, cache, metadata)
                    return run_job(job, how, jobs=jobs, listeners=heard, cancel=relay)
                with profiled(profile_place, loaded) as measured:
                    result = run_loaded(
                        loaded,
                        device=device,
                        memory=memory,
                        cache=cache,
                        metadata=metadata,
                        listeners=heard,
                        cancel=relay,
                        record=record,
                        profile=measured,
                    )
        result.profile = None if profile_place is None else profile_place.folder
        return held.released(result)


def _label(source: WorkflowSource) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return source.title if isinstance(source, Workflow) else "a workflow from Python"
