"""Workflow → checked, ordered `Plan`. Pure: loads no weights and touches no device; every problem is found at once.

The plan holds plain tuples, and nothing is rebuilt while it runs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..bounded.effort import uncollected
from ..check.workflow import Checked, check_workflow
from ..digests import short_digest
from ..events import Warned
from ..file_digests import digest
from ..memory.descriptions import AnyDescription, ModelDescription
from ..opening import Gate, reading
from ..reads import Reads, collect_reads
from ..spec import NodeSpec, Registry
from ..workflow import Link, Override, Workflow
from .reread import untouched
from .upstream import upstream_links

_NO_LISTS: frozenset[str] = frozenset()


@dataclass(slots=True)
class Step:
    """One node, ready to run: its settings, and where each connected input comes from."""

    name: str
    spec: NodeSpec
    settings: dict[str, object]
    links: tuple[tuple[str, int], ...]  # (socket, slot)
    sources: tuple[int, ...]  # steps read, by index: of each link
    wires: tuple[bytes, ...]  # of each link, what it means for the result: socket, and number of the output
    first_slot: int
    known: tuple[object, ...] | None = None  # outputs of a static node, made while checking
    files: tuple[str, ...] | None = ()  # digests of the files read; None: not known before the run
    beside: tuple[AnyDescription, ...] = ()  # models that the values at its sockets ask for during the run
    lists: frozenset[str] = _NO_LISTS  # sockets that take their value from upstream: their parameters get a list


@dataclass
class Plan:
    """Steps in execution order. Each *slot* holds one output of one step: `first_slot + number of the output`."""

    steps: list[Step]
    outputs: dict[str, int]  # name -> slot
    workflow: Workflow
    files: dict[Override, dict[str, str]] = field(default_factory=dict)  # what was read: name, digest, path
    warnings: list[Warned] = field(default_factory=list)  # warnings of the check
    gate: Gate = field(default_factory=Gate)  # what the nodes may read
    contents: Mapping[str, str] = field(
        default_factory=dict
    )  # by the path that a node receives: digest of what is there
    seen: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = field(
        default_factory=dict
    )  # what is known before the run of the inputs and outputs of each node
    reads: Reads = field(default_factory=Reads)  # all files and folders whose contents the keys depend on

    @cached_property
    def slots(self) -> int:
        """How many outputs there are in all."""
        return sum(len(step.spec.outputs) for step in self.steps)

    @cached_property
    def owner(self) -> list[int]:
        """The step that fills each slot."""
        return [index for index, step in enumerate(self.steps) for _ in step.spec.outputs]

    @cached_property
    def savers(self) -> dict[str, str]:
        """By output, the first step that saves it."""
        found: dict[str, str] = {}
        for step in self.steps:
            saved = {slot for socket, slot in step.links if socket == step.spec.saves}
            for name, slot in self.outputs.items():
                if slot in saved:
                    found.setdefault(name, step.name)
        return found

    @cached_property
    def reads_files(self) -> bool:
        """True if a result depends on files."""
        return bool(self.reads.files) or any(step.spec.path_roles for step in self.steps)

    def still_reads(self, step: Step) -> bool:
        """True if nothing that the check has read was touched since: pictures, models, and what this step reads."""
        given = [step.settings[name] for name, role in step.spec.path_roles.items() if role.kind != "model"]
        paths = [str(path) for value in given for path in (value if isinstance(value, list) else [value])]
        try:
            with reading(self.gate):
                return untouched(self.reads) and all(
                    digest(self.gate.listings[path]) == self.contents[path] for path in paths if path in self.contents
                )
        except OSError:
            return False

    @cached_property
    def keys(self) -> list[bytes | None]:
        """What each result depends on, as one hash: node, code, settings, file contents, and the keys above it."""
        keys: list[bytes | None] = []
        words: dict[NodeSpec, str] = {}
        for step in self.steps:
            material = b"" if step.files is None else _key_material(step, words)
            for name, source in zip(step.wires, step.sources, strict=True):
                above = keys[source]
                if above is None:
                    material = b""
                    break
                material += name + above
            keys.append(short_digest(material) if material else None)
        return keys


def make_plan(
    workflow: Workflow,
    registry: Registry,
    *,
    roots: Sequence[Path] = (),
    out: Path | None = None,
    trusted: Collection[Override] = (),
) -> Plan:
    """Check `workflow` against `registry` and order it.

    Args:
        workflow: what to run.
        registry: the node types.
        roots: folders that paths in the file may point into.
        out: the output folder, from which later nodes may read `.safetensors`.
        trusted: path parameters that the user typed, which may point anywhere.

    Raises:
        WorkflowError: with every problem found.
    """
    with collect_reads() as reads:
        checked = check_workflow(workflow, registry, roots=roots, out=out, trusted=trusted)
    with uncollected():
        places = _Places(checked)
        found = upstream_links(checked.specs, checked.links, checked.order)
        steps = [_step(name, checked, found.get(name, []), places) for name in checked.order]
    files = {key: value for key, value in checked.files.items() if key[0] in places.index}
    outputs = {name: places.slot(*target) for name, target in checked.targets.items()}
    return Plan(steps, outputs, workflow, files, checked.warnings, checked.gate, checked.contents, checked.seen, reads)


class _Places:
    """Where each node of a plan is.

    Attributes:
        index: the number of its step.
        first: the slot of its first output.
    """

    def __init__(self, checked: Checked) -> None:
        self.specs = checked.specs
        self.index: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self._numbers: dict[NodeSpec, dict[str, int]] = {}
        self._wires: dict[tuple[str, NodeSpec, str, bool], bytes] = {}
        slots = 0
        for position, name in enumerate(checked.order):
            self.index[name], self.first[name] = position, slots
            slots += len(checked.specs[name].outputs)

    def slot(self, node: str, output: str) -> int:
        """The slot of an output."""
        return self.first[node] + self._number(self.specs[node], output)

    def wire(self, link: Link, *, listed: bool) -> bytes:
        """What a link means for the result: socket, and number of the output; one object for all that mean the same."""
        key = link.socket, self.specs[link.node], link.output, listed
        if (known := self._wires.get(key)) is None:
            number = self._number(key[1], link.output)
            known = self._wires[key] = f"{link.socket}{'[]' if listed else ''}\0{number}\0".encode()
        return known

    def _number(self, spec: NodeSpec, output: str) -> int:
        if (numbers := self._numbers.get(spec)) is None:
            numbers = self._numbers[spec] = {name: number for number, name in enumerate(spec.outputs)}
        return numbers[output]


def _step(name: str, checked: Checked, upstream: list[Link], places: _Places) -> Step:
    own = checked.links[name]
    links = [*own, *upstream] if upstream else own
    digests = checked.digests[name]
    return Step(
        name,
        checked.specs[name],
        checked.settings[name],
        tuple([(socket, places.slot(source, output)) for socket, source, output in links]),
        tuple([places.index[source] for _, source, _ in links]),
        tuple([places.wire(link, listed=number >= len(own)) for number, link in enumerate(links)]),
        places.first[name],
        checked.known.get(name),
        None if digests is None else tuple(digests),
        checked.beside.get(name, ()),
        frozenset([socket for socket, _, _ in upstream]) if upstream else _NO_LISTS,
    )


def _key_material(step: Step, words: dict[NodeSpec, str]) -> bytes:
    """What a result depends on in the step itself. Settings are plain values: of those, `repr` tells any two apart.

    Args:
        step: the step.
        words: what identifies each type of node; filled here.
    """
    spec, settings = step.spec, step.settings
    if (word := words.get(spec)) is None:
        word = words[spec] = f"{spec.id}\0{spec.version}\0{spec.digest}\0"
    if step.files and spec.path_roles:  # the content of a file and its purpose count, not its place
        settings = {
            key: value if key not in spec.path_roles else len(value) if isinstance(value, list) else bool(value)
            for key, value in settings.items()
        }
    if step.known is None:
        return f"{word}{settings}\0{step.files}\0[]\0".encode("utf-8", "surrogatepass")
    described = [value.fingerprint for value in step.known if isinstance(value, ModelDescription)]
    return f"{word}{settings}\0{step.files}\0{described}\0".encode("utf-8", "surrogatepass")
