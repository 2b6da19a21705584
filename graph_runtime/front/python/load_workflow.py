"""From a file name, a dict or a picture to a workflow with the user's values in it, ready to be planned."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ....nodes.pack import PACK
from ...core.current_run import searching
from ...core.definition.migrations import current_name, migrate
from ...core.errors import BadInput, Problem, WorkflowError, did_you_mean, shorten
from ...core.events import Noted, Warned
from ...core.expander import Expander, Expansion
from ...core.opening import reading
from ...core.reading.reader import Reader
from ...core.run.plan import Plan, make_plan
from ...core.spec import Registry
from ...core.user_paths import exists, expand
from ...core.workflow import Override, Workflow, from_python
from ..fast import SETTING as FAST
from ..fast import make_fast, read_fast
from ..installed import shipped_workflows
from ..recipe.find_inputs import find_files
from ..recipe.read import RecordedFile
from .keywords import a_folder, input_folder, named_values, registry_of
from .labels import labelled, together
from .sample_names import find_samples, name_samples
from .sources import from_caller, from_file
from .values import Held

WorkflowSource = str | os.PathLike[str] | Mapping[str, object] | Workflow


@dataclass
class LoadedWorkflow:
    """A workflow, the folders it may read from, and what the user set in it.

    Attributes:
        roots: folders that paths in the file may point into.
        out: the output folder.
        trusted: path parameters that the user set, which may point anywhere.
        from_python: the caller passed the workflow itself, so that all its paths are the user's.
        stranger: whoever set its values is not the user: no path is trusted, and nothing outside `roots` is looked at.
        recorded_files: files that a picture names and that have not been searched for yet.
        recorded_names: names of recorded files that were found, perhaps under another name.
        file: where the workflow was read; None if the caller passed it.
        expander: makes the workflow from options, which then are its inputs; None for a plain workflow.
        held: pictures in memory among the user's values.
        labels: what a message calls a node, where the file calls it otherwise than the workflow.
        aliases: other names of `node.setting`: with the node's id or title in the file.
        noticed: what was noticed while the file was converted.
        recorded: the record that its pictures carry, if it was prepared in another process, which remembers its files.
    """

    workflow: Workflow
    registry: Registry
    roots: list[Path]
    out: Path
    trusted: set[Override] = field(default_factory=set)
    from_python: bool = False
    stranger: bool = False
    recorded_files: Mapping[Override, RecordedFile] = field(default_factory=dict)
    recorded_names: dict[Override, str] = field(default_factory=dict)
    file: Path | None = None
    expander: Expander | None = None
    held: Held = field(default_factory=Held)
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    noticed: tuple[Warned, ...] = ()
    recorded: str | None = None
    misread: tuple[Problem, ...] = ()  # of a host's file; the workflow is what could be read
    _expansion: Expansion | None = None
    _fast: tuple[str, ...] = ()
    _options: Mapping[str, object] = field(default_factory=dict)
    _settings: Mapping[str, object] = field(default_factory=dict)
    _given: set[Override] = field(default_factory=set)  # path parameters that whoever asks has set

    @property
    def options(self) -> Mapping[str, object]:
        """The options that the workflow was made from; none for a plain one."""
        return self._options

    def expand(self, options: Mapping[str, object]) -> None:
        """Make the workflow from options; `set_values` then takes settings of the plain workflow."""
        assert self.expander is not None
        self._options = options
        with self._confined():
            self._expansion = self.expander.expand(options)
        self.workflow = from_python(self._expansion.workflow)
        self._trust(self._expansion.given)

    @contextmanager
    def _confined(self) -> Iterator[None]:
        """In the block, a stranger's options read nothing outside the folders of the workflow."""
        if not self.stranger:
            yield
            return
        with reading(Reader(self.roots).gate), searching(tuple(self.roots), ()):
            yield

    def _trust(self, given: Iterable[Override]) -> None:
        """Trust paths that the user set."""
        if not self.stranger:
            self.trusted |= set(given)

    def require_options(self) -> None:
        """Refuse options that contradict each other, where the workflow is not checked.

        Raises:
            WorkflowError: with every problem of the options.
        """
        if self._expansion is not None and self._expansion.problems:
            raise WorkflowError(self._expansion.problems)

    @property
    def undecided(self) -> bool:
        """True if something must be fetched before the workflow can be made from the options."""
        return self._expansion is not None and self._expansion.undecided is not None

    def decide(self) -> None:
        """Fetch what decides which workflow it is, and make it.

        Raises:
            WorkflowError: it cannot be fetched, or the options contradict it.
        """
        assert self._expansion is not None
        assert self._expansion.undecided is not None
        try:
            self._expansion.undecided()
        except BadInput as error:
            raise WorkflowError([error.at(self._expansion.asked)]) from None
        self.expand(self._options)
        if self._fast:
            make_fast(self.workflow, self._fast)
        self._trust(_set_parameters(self.workflow, self.registry, {}, self._settings))

    def set_values(self, values: Mapping[str, object], settings: Mapping[str, object]) -> None:
        """Write the user's values into the workflow, and find the files of a recorded run that they leave open.

        Args:
            values: the workflow's own `inputs` by name, or the options that it is made from.
            settings: `"node.parameter"` → value, for everything else; `fast` → names of what makes models faster.

        Raises:
            WorkflowError: an unknown name, two values for one setting, or a file that is not found.
        """
        given = named_values(values, "inputs")
        named = {self.aliases.get(name, name): value for name, value in named_values(settings, "set").items()}
        self._fast = read_fast(named.pop(FAST)) if FAST in named else ()
        if self.expander is not None:
            if self._expansion is None or given:
                self.expand(given)
            given, self._settings = {}, named
        if self._fast and not self.undecided:
            make_fast(self.workflow, self._fast)
        self._given = _set_parameters(self.workflow, self.registry, given, named)
        self._trust(self._given)
        if self.from_python:
            self._trust(_path_parameters(self.workflow, self.registry))
        self._find_samples()
        self._find_recorded_files()

    def _find_samples(self) -> None:
        self._trust(find_samples(self.workflow, _path_parameters(self.workflow, self.registry), self.roots))

    def name_samples(self) -> None:
        """Call samples by the names that are known wherever the file lies, but for those that the user has set."""
        given = self._given | set(self._expansion.given if self._expansion is not None else ())
        name_samples(self.workflow, set(_path_parameters(self.workflow, self.registry)) - given, self.file)

    def _find_recorded_files(self) -> None:
        wanted = {}
        for (node, parameter), file in self.recorded_files.items():
            entry = self.workflow.nodes.get(node)
            spec = self.registry.get(entry.type) if entry is not None else None
            if spec is not None and parameter in spec.path_roles:
                wanted[node, parameter] = file
        if not wanted:
            return
        shipped = dict.fromkeys(path.parent for path in shipped_workflows().values())
        known = self.roots if self.stranger else None
        found, problems = find_files(wanted, self.roots, shipped, {*self.trusted, *self._given}, known)
        if problems:
            raise WorkflowError(problems)
        for (node, parameter), place in found.items():
            self.workflow.nodes[node].params[parameter] = place.path
            if place.known:
                self._trust([(node, parameter)])
            self.recorded_names[node, parameter] = wanted[node, parameter].name

    def plan(self, more: Mapping[str, str] = MappingProxyType({})) -> Plan:
        """The checked plan.

        Args:
            more: outputs besides those of the workflow: name → `node.output`.

        Raises:
            WorkflowError: with every problem.
        """
        made = self._expansion
        notes: list[Warned] = [*self.noticed, *(Noted(None, note) for note in (() if made is None else made.notes))]
        wrong = [*self.misread, *(() if made is None else made.problems)]
        workflow = self.workflow
        if more:
            workflow = workflow.model_copy(update={"outputs": {**workflow.outputs, **more}})
        try:
            plan = make_plan(workflow, self.registry, roots=self.roots, out=self.out, trusted=self.trusted)
        except WorkflowError as error:
            found = together(map(self.labelled, wrong), map(self.labelled, error.problems))
            raise WorkflowError(found, [*notes, *error.warnings]) from None
        if wrong:
            raise WorkflowError(wrong, plan.warnings)
        plan.warnings[:0] = notes
        return plan

    def labelled(self, problem: Problem) -> Problem:
        """The problem, with node and setting named as its file names them."""
        return labelled(problem, self.labels, self.aliases)


def load(
    source: WorkflowSource,
    *,
    inputs: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "inlay-out",
    nodes: Iterable[object] = (),
    partial: bool = False,
) -> LoadedWorkflow:
    """Find and read a workflow without changing it; `set_values` comes next.

    Args:
        source: a JSON file, the bare name of a shipped workflow, a picture that carries its workflow, a dict or a
            Workflow; also ComfyUI's files, in its API or UI format, and pictures that it saved.
        inputs: a folder that paths in the file may point into.
        out: the output folder.
        nodes: modules with further nodes.
        partial: leave out nodes of other packs, and what cannot run without them.

    Raises:
        WorkflowError: no such file, not a workflow, or no such input folder.
    """
    registry = registry_of(nodes)
    out = a_folder(out, "out")
    roots = [] if inputs is None else [input_folder(inputs)]
    path = None
    if isinstance(source, (Workflow, Mapping)):
        found = from_caller(source, registry, partial=partial)
    elif isinstance(source, (str, os.PathLike)):
        path = locate(source)
        roots = [path.resolve().parent, *roots]
        found = from_file(path, registry, partial=partial)
    else:
        raise WorkflowError.of(
            None,
            found=f"a {type(source).__name__}",
            expected="a file, the name of a shipped workflow, a picture that carries one, a dict or a Workflow",
            fix="pass its path or its dict",
        )
    migrate(found.workflow, registry, PACK.renamed)
    own = isinstance(source, (Workflow, Mapping))
    expander = (
        PACK.expanders.get(str(source)) if path is not None and path == shipped_workflows().get(str(source)) else None
    )
    loaded = LoadedWorkflow(
        found.workflow,
        registry,
        roots,
        out,
        from_python=own,
        recorded_files=found.files,
        file=path,
        expander=expander,
        labels=found.labels,
        aliases=found.aliases,
        noticed=found.warnings,
        misread=found.problems,
    )
    if found.problems:
        loaded.set_values({}, {})  # samples are found where they lie
        loaded.plan()
    return loaded


def locate(source: str | os.PathLike[str]) -> Path:
    """The file of a workflow: a path, or the name of a shipped one.

    Raises:
        WorkflowError: there is none.
    """
    path = expand(source)
    known = shipped_workflows()
    if exists(path) and not path.is_dir():
        return path
    if str(source) in known:
        return known[str(source)]
    if exists(path) and str(source):
        raise WorkflowError.of(
            None,
            found=f"a folder, {shorten(str(source))}",
            expected="a workflow file",
            fix="give the path of a .json file in it",
        )
    raise WorkflowError.of(
        None,
        found=f"no such file: {shorten(str(source))}",
        expected="a .json file, a picture that carries its workflow, or the name of a shipped workflow",
        fix=did_you_mean(str(source), known),
    )


def _set_parameters(
    workflow: Workflow, registry: Registry, values: Mapping[str, object], settings: Mapping[str, object]
) -> set[Override]:
    """Write the user's values into the workflow; returns the paths among them, which may point anywhere."""
    problems: list[Problem] = []
    trusted: set[Override] = set()
    for (node, parameter), given in _by_parameter(workflow, registry, values, settings, problems).items():
        entry = workflow.nodes.get(node)
        if entry is None:
            problems.append(
                Problem(
                    None,
                    f"{node}.{parameter}",
                    f"no node {node!r} in this workflow",
                    "NODE.PARAM of this workflow",
                    did_you_mean(node, workflow.nodes),
                )
            )
            continue
        spec = registry.get(entry.type)
        entry.params[parameter] = given
        if spec is not None and parameter in spec.path_roles and isinstance(given, (str, list)):
            trusted.add((node, parameter))
    if problems:
        raise WorkflowError(problems)
    return trusted


def _by_parameter(
    workflow: Workflow,
    registry: Registry,
    values: Mapping[str, object],
    settings: Mapping[str, object],
    problems: list[Problem],
) -> dict[Override, object]:
    """The user's values by (node, parameter), each parameter by its name of today."""
    given: dict[Override, object] = {}
    for name, value in values.items():
        if name in workflow.inputs:
            for target in workflow.targets(name):
                _add(given, _override(workflow, registry, target), value, problems)
        else:
            problems.append(
                Problem(
                    None,
                    f"inputs.{name}",
                    f"an input {name!r} that this workflow does not have",
                    "one of its inputs",
                    did_you_mean(name, workflow.inputs),
                )
            )
    for target, value in settings.items():
        _add(given, _override(workflow, registry, target), value, problems)
    return given


def _override(workflow: Workflow, registry: Registry, target: str) -> Override:
    """The (node, parameter) of `node.parameter`, whatever the parameter was called when that was written."""
    node, _, name = target.partition(".")
    entry = workflow.nodes.get(node)
    return node, current_name(registry.get(entry.type) if entry is not None else None, name)


def _add(given: dict[Override, object], target: Override, value: object, problems: list[Problem]) -> None:
    """Note a value for a parameter; two different values for one parameter are a problem."""
    node, parameter = target
    known = given.setdefault(target, value)
    if known is not value and (type(known) is not type(value) or known != value):
        problems.append(
            Problem(
                node,
                parameter,
                f"two values: {shorten(known)} and {shorten(value)}",
                "one value",
                "keep one of them: an input and a setting, or two inputs, set the same thing",
            )
        )


def _path_parameters(workflow: Workflow, registry: Registry) -> Iterator[Override]:
    for name, entry in workflow.nodes.items():
        spec = registry.get(entry.type)
        for parameter in spec.path_roles if spec is not None else ():
            if isinstance(entry.params.get(parameter), (str, list)):
                yield name, parameter
