"""Workflow files, and dicts from Python."""

import copy
import json
from dataclasses import dataclass

from . import graphs, json_trees, odd_values
from .case import Case, random_of

FOLDERS = ["job"] * 30 + ["*", "?????", "[s]ecret", "**", "photos[1]", "[!b]ob", "j?b", "{a,b}", "~", "%s", "a b"]
_WEIGHTS = {"many": 1, "huge": 1}


def mutate(tree, mutations):
    """The bytes of a JSON file after its mutations: first those of the tree, then those of the text."""
    tree = copy.deepcopy(tree)
    for name, seed in mutations:
        change = json_trees.TREE.get(name) or json_trees.RARE.get(name)
        if change is not None:
            change(tree, random_of(seed))
    data = json_trees.dumps(tree)
    for name, seed in mutations:
        change = json_trees.TEXT.get(name) or json_trees.RARE_TEXT.get(name)
        if change is not None:
            data = change(data, random_of(seed))
    return data


_ALL = (*json_trees.TREE, *json_trees.RARE, *json_trees.TEXT, *json_trees.RARE_TEXT)
_TREE = (*json_trees.TREE, *json_trees.RARE)


@dataclass(frozen=True)
class Workflows:
    """A workflow file: checked, and run where that costs little."""

    name: str = "workflow"
    share: int = 6  # of the turns
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        common = {name: 40 if name in json_trees.TREE else 20 for name in _ALL}
        return {**common, **_WEIGHTS, "path": 100, "folder": 15}

    def build(self, plan):
        rng = random_of(plan.base)
        light = rng.random() < 0.4
        tree = graphs.grow(rng, light=light, tame=light)
        folder = "job"
        for name, seed in plan.mutations:
            if name == "path":
                _another_path(tree, random_of(seed))
            elif name == "folder":
                folder = random_of(seed).choice(FOLDERS[30:])
        data = mutate(tree, plan.mutations)
        door = "run" if light and len(data) < 20_000 and rng.random() < 0.3 else "check"
        return Case(door, "w.json", folder=folder, files={"w.json": data})


def _another_path(tree, rng):
    types = graphs.node_types()
    found = []
    for entry in tree["nodes"].values():
        found += [
            (entry["params"], name) for name in types[entry["type"]].path_roles if name in entry.get("params", {})
        ]
    if found:
        params, name = rng.choice(found)
        value = rng.choice(odd_values.PATHS)
        params[name] = [value, "a.png"] if rng.random() < 0.1 else value


@dataclass(frozen=True)
class Dicts:
    """A dict from Python, with values that no file can hold."""

    name: str = "dict"
    share: int = 3
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        return {**dict.fromkeys(_TREE, 12), "many": 1, "python": 40, "loop": 2, "depth": 2}

    def build(self, plan):
        tree = graphs.grow(random_of(plan.base), light=True, tame=True)
        for name, seed in plan.mutations:
            rng = random_of(seed)
            if name == "python":
                container, key = rng.choice(json_trees.places(tree))
                container[key] = odd_values.MARK + rng.choice(list(odd_values.PYTHON))
            elif name in ("loop", "depth"):
                container, key = rng.choice(json_trees.places(tree))
                container[key] = odd_values.MARK + name
        data = mutate(tree, [one for one in plan.mutations if one[0] in _TREE])
        return Case("dict", "w.json", files={"w.json": data})


def as_python(data):
    """The dict that a `dict` case stands for."""
    root = json.loads(data)

    def restored(value):
        if isinstance(value, dict):
            return {restored_key(key): restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [restored(item) for item in value]
        if isinstance(value, str) and value.startswith(odd_values.MARK):
            name = value.removeprefix(odd_values.MARK)
            if name == "depth":
                return _deep()
            return odd_values.PYTHON.get(name, root_of)
        return value

    def restored_key(key):
        return odd_values.PYTHON.get(key.removeprefix(odd_values.MARK), key) if odd_values.MARK in key else key

    root_of = {}
    found = restored(root)
    if isinstance(found, dict):
        root_of.update(found)
    return found


def _deep():
    inner = []
    for _ in range(100_000):
        inner = [inner]
    return inner


TARGETS = (Workflows(), Dicts())
