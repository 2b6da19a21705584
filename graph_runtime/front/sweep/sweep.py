"""A sweep: a workflow, what all combinations share, and the grid of what they do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.errors import Problem, WorkflowError
from ...core.memory.descriptions import ModelDescription
from ...core.run.plan import Plan
from ..jobs.job import Job, Origin, many_of, pictures_of
from ..jobs.pairs import masks_beside, pair
from ..jobs.sources import find
from ..python.load_workflow import LoadedWorkflow
from .ask import Asked, axes_of
from .axes import Axis, FilesAxis
from .best import Best, best_of
from .grid import MOST, Grid

ROOM = 512 * 2**20  # bytes of results that combinations share in memory


@dataclass(frozen=True)
class Sweep:
    """What there is to run.

    Attributes:
        job: of which the grid's combinations are the runs.
        grid: the combinations.
        best: the number that they are compared by; None for none.
    """

    job: Job
    grid: Grid
    best: Best | None = None


def find_sweep(
    loaded: LoadedWorkflow,
    values: Mapping[str, object],
    settings: Mapping[str, object],
    origin: Origin,
    asked: Sequence[Asked],
    *,
    images: object = None,
    best: str | None = None,
) -> Sweep:
    """The sweep that a person asks for.

    Args:
        loaded: the workflow without the person's values.
        values: those of inputs that all combinations share; of a picture, also a folder, which is an axis.
        settings: `node.setting` → value, which all share.
        origin: where the workflow came from.
        asked: what varies.
        images: a folder, a pattern or a list of pictures for the input that takes the picture.
        best: as of `--best`.

    Raises:
        WorkflowError: every flag that is wrong.
    """
    values = dict(values or loaded.options)
    problems: list[Problem] = []
    if images is not None:
        values |= _images(loaded, values, images, problems)
    pictures = _pictures(loaded, values, "--images" if images is not None else "", problems)
    shared = {name: value for name, value in values.items() if not pictures or name not in pictures.items[0].files}
    taken = {f"{name}": f"--{name}" for name in values} | {where: f"--set {where}" for where in settings}
    if loaded.expander is None:
        taken |= {
            t: f"--{name}" for name in values if name in loaded.workflow.inputs for t in loaded.workflow.targets(name)
        }
    axes, notes = axes_of(loaded, asked, taken, problems)
    found: list[Axis] = [*([pictures] if pictures else []), *axes]
    wanted = None
    try:
        wanted = best_of(best, loaded) if best is not None else None
    except WorkflowError as error:
        problems += error.problems
    if not problems and not found:
        problems.append(
            Problem(
                None, "--grid", "nothing that varies", "at least one --grid, --list or --images", "add --grid seed=0..9"
            )
        )
    grid = Grid(found)
    if not problems and grid.total > MOST:
        problems.append(
            Problem(None, "--grid", f"{grid.total:,} combinations", f"at most {MOST:,}", "leave values out")
        )
    if problems:
        raise WorkflowError(problems)
    inputs = tuple(pictures.items[0].files) if pictures else ()
    link = wanted.link if wanted is not None else ""
    job = Job(origin, loaded, shared, dict(settings), inputs, grid, tuple(notes), link, measures=True, room=ROOM)
    return Sweep(job, grid, wanted)


def _images(
    loaded: LoadedWorkflow, values: Mapping[str, object], images: object, problems: list[Problem]
) -> dict[str, object]:
    """The values that `--images` stands for: the picture's input, and that of its mask if masks lie beside."""
    takes = pictures_of(loaded)
    lead = "image" if "image" in takes else next(iter(takes), None)
    if lead is None or lead in values:
        found = "no input that takes one picture" if lead is None else f"--{lead} beside it"
        fix = "use --grid NODE.path=…" if lead is None else "keep one of them"
        problems.append(Problem(None, "--images", found, "one input for the pictures", fix))
        return {}
    given = {lead: images}
    try:
        source = find(lead, images, loaded.out)
        for name in takes:
            if name != lead and name not in values and source.place is not None and _is_mask(loaded, name):
                other = find(name, images, loaded.out)
                given |= {name: images} if masks_beside(source, other) else {}
    except WorkflowError:
        pass  # `_pictures` reports it
    return given


def _is_mask(loaded: LoadedWorkflow, name: str) -> bool:
    """True if the picture of an input becomes a mask."""
    if loaded.expander is not None:
        return any(option.name == name and option.socket == "MASK" for option in loaded.expander.options)
    node = loaded.workflow.targets(name)[0].partition(".")[0]
    spec = loaded.registry.get(loaded.workflow.nodes[node].type)
    return spec is not None and next(iter(spec.outputs.values())).socket == "MASK"


def _pictures(
    loaded: LoadedWorkflow, values: Mapping[str, object], flag: str, problems: list[Problem]
) -> FilesAxis | None:
    """The axis of the pictures, if a folder, a pattern or a list is given for one."""
    many = many_of(loaded, values)
    if flag and not many and not problems:  # one picture is an axis with one value
        many = [name for name in pictures_of(loaded) if name in values][:1]
        values = {**values, many[0]: [values[many[0]]]} if many else values
    if not many or problems:
        return None
    try:
        sources = [find(name, values[name], loaded.out) for name in many]
        items = pair(sources)
    except WorkflowError as error:
        problems += error.problems
        return None
    targets = loaded.workflow.targets(many[0]) if loaded.expander is None else []
    return FilesAxis(many[0], flag or f"--{many[0]}", tuple(targets), items)


def arranged(sweep: Sweep, sound: int) -> Sweep:
    """The sweep in the order in which most is shared: what changes most of the graph changes slowest.

    What each axis changes is seen by planning a combination and, for each axis, one that differs in it alone.

    Args:
        sweep: as it was asked for.
        sound: the number of a combination that can be run.
    """
    job, grid = sweep.job, sweep.grid
    first, base = _keys(job, sound), grid.digits(sound)
    changed: list[set[str]] = []
    models: list[bool] = []
    for at, axis in enumerate(grid.axes):
        other = axis.count - 1 if base[at] != axis.count - 1 else 0
        plan = _keys(job, grid.number([other if at == place else base[place] for place in range(len(grid.axes))]))
        differs = {name for name in first.keys() | plan.keys() if first.get(name) != plan.get(name)}
        changed.append(differs)
        models.append(any(name.startswith(_MODEL) for name in differs))
    slow = sorted(range(len(grid.axes)), key=lambda at: (not models[at], -len(changed[at]), at))
    varying = [names for names, axis in zip(changed, grid.axes, strict=True) if axis.count > 1]
    unshared = set.intersection(*varying) if varying else set()
    ordered = Grid(grid.axes, slow)
    return replace(sweep, grid=ordered, job=replace(job, items=ordered, unshared=frozenset(unshared)))


_MODEL = "\0"  # before the name of a node that describes a model


def _keys(job: Job, number: int) -> dict[str, bytes | None]:
    """What the result of each node of a combination depends on; nothing where it has problems: the check tells."""
    try:
        plan: Plan = job.prepared(job.items[number]).plan()
    except WorkflowError:
        return {}
    found: dict[str, bytes | None] = {}
    for step, key in zip(plan.steps, plan.keys, strict=True):
        found[step.name] = key
        if any(isinstance(value, ModelDescription) for value in step.known or ()):
            found[_MODEL + step.name] = key
    return found
