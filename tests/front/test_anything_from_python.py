"""`inlay.check` lists problems whatever a caller passes, and `inlay.run` refuses it; neither raises anything else."""

import enum
import math
from collections.abc import Mapping
from pathlib import Path

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core.workflow import Workflow, parse
from inlay.graph_runtime.front.installed import shipped_workflows


class Raises:
    """An object of which every method raises."""

    def _raise(self, *_):
        raise ArithmeticError("no")

    __repr__ = __str__ = __eq__ = __len__ = __bool__ = __iter__ = __deepcopy__ = __getattr__ = _raise
    __hash__ = object.__hash__


class Endless(Mapping):
    """A mapping that goes on for ever."""

    def __getitem__(self, key):
        return self

    def __iter__(self):
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self):
        raise ArithmeticError("no")

    def items(self):
        return ((key, 0) for key in self)


class Torn(Mapping):
    """A mapping whose items raise."""

    __getitem__ = __len__ = lambda self, *_: 1 // 0

    def __iter__(self):
        yield "format"
        raise LookupError("no more")


class Text(str):
    """A text that hides what it says."""

    __slots__ = ()

    def __repr__(self):
        raise ArithmeticError("no")

    encode = __str__ = __hash__ = __len__ = __repr__


def own(value):
    return {"format": 1, "nodes": {"n": {"type": "noise.gaussian", "params": {"seed": value}}}, "outputs": {}}


def itself():
    found = own(1)
    found["nodes"]["n"]["params"]["self"] = found
    return found


def doubled():
    value = []
    for _ in range(60):
        value = [value, value]
    return own(value)


VALUES = {
    "a number of 4,301 digits": 10**4301,
    "a number of 309 digits": -(10**308),
    "NaN": math.nan,
    "infinity": -math.inf,
    "bytes": b"x",
    "a set": {1},
    "a generator": (n for n in ()),
    "a lone surrogate": "\ud800",
    "a hostile text": Text("x"),
    "a text of a million characters": "x" * 10**6,
    "a tensor": torch.zeros(3),
    "an array": np.zeros((2, 2)),
    "a scalar on the meta device": torch.zeros((), device="meta"),
    "a function": print,
    "a class": int,
    "an object that raises": Raises(),
    "a key that is no text": {1: 2},
    "a key that raises": {Raises(): 2},
    "a key with a lone surrogate": {"\ud800": 2},
    "an endless mapping": Endless(),
    "a mapping that raises": Torn(),
    "a million values": [0] * (10**6 + 1),
    "a complex number": 1j,
    "None in a list": [None, [None, {"a": ()}]],
}
SOURCES = {
    **{f"{name} in a node": own(value) for name, value in VALUES.items()},
    **{f"{name} as the whole": value for name, value in VALUES.items() if not isinstance(value, str)},
    **{f"{name} in ui": {"format": 1, "nodes": {}, "ui": {"n": value}} for name, value in VALUES.items()},
    **{f"{name} as the nodes": {"format": 1, "nodes": value} for name, value in VALUES.items()},
    **{f"{name} as the format": {"format": value, "nodes": {}} for name, value in VALUES.items()},
    "nothing": {},
    "itself": itself(),
    "a thousand levels": eval("[" * 90 + "]" * 90),
    "two to the power of 60 lists": doubled(),
    "a million keys": {"format": 1, "nodes": {}, "ui": dict.fromkeys(map(str, range(10**6)), 0)},
    "a million unknown keys": {"format": 1, "nodes": {}} | dict.fromkeys(map(str, range(10**6)), 0),
    "an unfinished Workflow": Workflow.model_construct(nodes=7, inputs=Raises()),
    "a Workflow that was changed": Workflow.model_construct(nodes={"n": Raises()}, title=b"x"),
    "no workflow": object(),
    "None": None,
    "a path with a NUL": "a\0b.json",
    "a path that is no text": Path("\udcff"),
    "a long path": "x" * 100_000,
}


@pytest.mark.parametrize("case", SOURCES)
def test_check_lists_problems_for_any_workflow(case):
    report = inlay.check(SOURCES[case])
    assert report, case
    assert not any("unforeseen" in problem.found for problem in report), report
    assert all(len(str(problem)) < 2000 for problem in report)


@pytest.mark.parametrize("case", [case for case in SOURCES if " as " not in case and " in ui" not in case])
def test_run_refuses_what_is_no_workflow(case, tmp_path):
    with pytest.raises(WorkflowError):
        inlay.run(SOURCES[case], out=tmp_path)


ARGUMENTS = {
    "out": [b"x", 3, "\0", "\udcff", Raises(), ["a"]],
    "inputs": [b"x", 3, "\0", Raises(), "nowhere"],
    "device": [None, 3, b"cpu", "cpu:" + "9" * 5000, "\0", Raises(), "x" * 10**6],
    "memory": [-1, 0, math.nan, 1.5, True, b"6GB", "∞", "6GB" * 10**5, Raises(), [], 10**30 - 10**30],
    "nodes": [3, [3], ["x"], [None]],
    "set": [3, [], "x", {1: 2}, {"a": 1}, {"": 1}, {"x.y": Raises()}, {"photo.path": 10**4301}, Endless(), Torn()],
    "listeners": [3, [3], [None], "x"],
    "cancel": [3, "x", Raises()],
    "image": [*VALUES.values()],
    "another": [1],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_check_and_run_refuse_any_argument(name, tmp_path):
    for value in ARGUMENTS[name]:
        report = inlay.check("zero_shot_inpaint", **{"out": tmp_path, name: value})
        assert report, f"{name}={type(value)}"
        assert not any("unforeseen" in problem.found for problem in report), report
        with pytest.raises(WorkflowError):
            inlay.run("zero_shot_inpaint", **{"out": tmp_path, name: value})


def test_values_that_a_file_could_hold_are_taken_from_any_type():
    class Kind(enum.StrEnum):
        NAME = "noise.gaussian"

    found = inlay.check(
        {
            "format": np.int64(1),
            "nodes": {"n": {"type": Kind.NAME, "params": {"seed": torch.tensor(3)}}},
            "outputs": {"a": "m.image"},
            "ui": {"n": (1, np.float32(2), Path("x"))},
        }
    )
    assert {problem.where for problem in found} == {"workflow outputs.a", "n.latent"}


def test_a_workflow_that_runs_from_a_file_runs_from_its_dict_and_from_its_object():
    path = shipped_workflows()["zero_shot_inpaint"]
    workflow = parse(path.read_bytes())
    for name, file in (("photo", "room.png"), ("hole", "room-mask.png")):
        if name in workflow.nodes:
            workflow.nodes[name].params["path"] = str(path.with_name(file))
    as_dict = workflow.model_dump()
    before = workflow.to_json()
    values = {"image": path.with_name("room.png"), "mask": path.with_name("room-mask.png")}
    assert inlay.check(workflow, **values) == inlay.check(as_dict, **values) == []
    assert workflow.to_json() == before
