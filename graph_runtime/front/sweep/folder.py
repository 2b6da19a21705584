"""The output folder of a sweep: which sweep it holds, so that two are never mixed without a word."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...core.digests import sha256
from ...core.errors import Problem, WorkflowError, shorten
from ...core.opening import open_file
from ..jobs.ledger import Ledger
from ..jobs.reports import write_report
from .sweep import Sweep

NAME = "sweep.json"
BYTES = 16 * 2**20
KEPT = 1_000  # values of an axis that are written down
SHORT = 60  # letters of a shared text that is written down; longer ones by their digest


@dataclass
class Held:
    """What `sweep.json` says.

    Attributes:
        nodes: digest of the workflow without its settings.
        shared: `node.setting` → the value that all combinations share, or its digest.
        axes: name → the values' digest, and how many there are.
    """

    nodes: str
    shared: Mapping[str, object]
    axes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def held_by(sweep: Sweep) -> Held:
    """What there is to say about a sweep.

    Raises:
        WorkflowError: the first combination cannot be prepared.
    """
    loaded = sweep.job.prepared(sweep.job.items[0])
    varies = {target for axis in sweep.grid.axes for target in axis.targets}
    if loaded.expander is not None:  # what its options make of the workflow varies with them
        options = dict(sweep.job.values)
        nodes = sha256(loaded.expander.title)
        shared = {f"--{name}": _kept(value) for name, value in options.items()}
        shared |= {name: _kept(value) for name, value in sweep.job.settings.items()}
    else:
        plain = json.loads(loaded.workflow.to_json())
        shared = {}
        for name, node in plain["nodes"].items():
            spec = loaded.registry.get(node["type"])
            for setting, value in node.pop("params", {}).items():
                if f"{name}.{setting}" not in varies:
                    path = spec is not None and setting in spec.path_roles
                    shared[f"{name}.{setting}"] = _kept(value, hidden=path)
        plain = {"nodes": plain["nodes"], "outputs": plain["outputs"]}
        nodes = sha256(json.dumps(plain, sort_keys=True))
    axes = {}
    for axis in sweep.grid.axes:
        labels = [axis.label(number) for number in range(min(axis.count, KEPT))]
        axes[axis.name] = {"count": axis.count, "values": labels}
    return Held(nodes, shared, axes)


def _kept(value: object, *, hidden: bool = False) -> object:
    """A value as it is written down: what is long, or names a place, by its digest."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, str) and len(value) <= SHORT and not hidden and not {"/", "\\"} & set(value):
        return value
    return "sha256:" + sha256(json.dumps(value, sort_keys=True, default=str))[:16]


def require_same(out: Path, held: Held) -> str:
    """Refuse a folder that holds another sweep; a note if it holds this one with other values.

    Raises:
        WorkflowError: names what is different.
    """
    former = _read(out / NAME)
    if former is None:
        return ""
    differences = []
    if former.nodes != held.nodes:
        differences.append("another workflow")
    else:
        for name in sorted(former.shared.keys() | held.shared.keys()):
            before, now = former.shared.get(name, "its default"), held.shared.get(name, "its default")
            if before != now and name not in former.axes and name not in held.axes:
                differences.append(f"{name} was {shorten(before)} and is {shorten(now)}")
    if former.axes.keys() != held.axes.keys() and former.nodes == held.nodes:
        differences.append(f"it varied {', '.join(former.axes)}, and now {', '.join(held.axes)}")
    if differences:
        more = f", and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise WorkflowError(
            [
                Problem(
                    None,
                    "--out",
                    f"a folder that holds another sweep ({'; '.join(differences[:5])}{more})",
                    "a folder of its own for each sweep; the same one with other values goes on",
                    "choose another with --out, or empty this one",
                )
            ]
        )
    if former.axes == held.axes:
        return ""
    return "this folder holds combinations of other values too: the table and the sheet show those of now alone"


def _read(path: Path) -> Held | None:
    """What a former sweep said; None if there is none, or the file is somebody else's."""
    try:
        with open_file(path) as file:
            raw = json.loads(file.read(BYTES))
        return Held(raw["nodes"], dict(raw["shared"]), dict(raw["axes"])) if raw["inlay"] == "sweep" else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_held(ledger: Ledger, held: Held) -> None:
    """Write `sweep.json`.

    Raises:
        OSError: the output folder takes no file.
    """
    text = json.dumps({"inlay": "sweep", "nodes": held.nodes, "shared": held.shared, "axes": held.axes}, indent=1)
    write_report(ledger, NAME, lambda path: path.write_text(text, encoding="utf-8"))
