"""Words of the command line."""

import json
from dataclasses import dataclass

from . import odd_values
from .case import Case, random_of

_FLOW = {
    "format": 1,
    "title": "t",
    "inputs": {"image": "p.path", "seed": "f.seed", "how": "f.fill", "grow": ["g.pixels"]},
    "nodes": {
        "p": {"type": "image.load", "params": {"path": "a.png"}},
        "m": {"type": "mask.load", "params": {"path": "mask.png"}},
        "g": {"type": "mask.grow", "params": {"pixels": 0}, "inputs": {"mask": "m.mask"}},
        "f": {"type": "image.fill", "params": {"fill": "noise"}, "inputs": {"image": "p.image", "mask": "g.mask"}},
        "s": {"type": "image.save", "inputs": {"image": "f.image"}},
    },
    "outputs": {"image": "f.image"},
}
_STARTS = (
    ["check", "FOLDER/w.json"],
    ["check", "FOLDER/w.json"],
    ["run", "FOLDER/w.json"],
    ["run", "FOLDER/w.json"],
    ["run"],
    ["check"],
    ["check", "zero_shot_inpaint"],
    ["check", "FOLDER/a.png"],
    ["nodes"],
    ["nodes", "image.load"],
    ["schema"],
    ["schema", "image.load"],
    ["draw", "FOLDER/w.json", "-o", "graph.svg"],
    ["models", "list"],
    ["--help"],
    ["run", "FOLDER/w.json", "--help"],
    ["check", "FOLDER"],
    [],
    ["cache", "list"],
    ["cache", "size"],
    ["cache", "why", "FOLDER/w.json", "f"],
    ["--version"],
)
_FLAGS = (
    "--image",
    "--seed",
    "--how",
    "--grow",
    "--set",
    "--out",
    "--inputs",
    "--device",
    "--memory",
    "--no-cache",
    "--no-metadata",
    "--quiet",
    "--json",
    "--traceback",
    "--help",
    "-h",
    "-o",
    "--",
    "--imag",
    "--save",
    "--nodes",
    "--steps",
)
_VALUES = (
    "FOLDER/a.png",
    "FOLDER/nothing.png",
    "FOLDER/link.png",
    "FOLDER/pipe.png",
    "FOLDER",
    "7",
    "-1",
    "1e3",
    "nan",
    "1" * 5000,
    "neutral",
    "noise",
    "",
    "p.path=FOLDER/a.png",
    "f.seed=3",
    "f.seed=[1]",
    "x.y=1",
    "f.fill",
    "f.fill=",
    "=",
    "f.seed=" + "9" * 5000,
    "6GB",
    "0",
    "-5MB",
    "1e400GB",
    "6 XB",
    "cpu",
    "cuda:0",
    "cuda:99",
    "mps",
    "meta",
    "auto",
    "{}",
    "[",
    "null",
    "true",
    "out",
    "FOLDER/a.png/x",
    "f.seed=NaN",
    "g.pixels=2",
    'p.path=["*.png"]',
)


@dataclass(frozen=True)
class Words:
    """The command line; what the user types is trusted, what comes out must still be an answer."""

    name: str = "words"
    share: int = 1
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        return {"flag": 20, "value": 15, "drop": 6, "swap": 4, "odd": 8, "double": 3, "json": 6}

    def build(self, plan):
        words = list(random_of(plan.base).choice(_STARTS))
        for name, seed in plan.mutations:
            rng = random_of(seed)
            at = rng.randrange(1, len(words) + 1) if words else 0
            if name == "flag":
                words[at:at] = [rng.choice(_FLAGS), rng.choice(_VALUES)][: rng.choice((1, 2, 2))]
            elif name == "value":
                flag = rng.choice(_FLAGS[:9])
                words += [f"{flag}={rng.choice(_VALUES)}"] if rng.random() < 0.4 else [flag, rng.choice(_VALUES)]
            elif name == "json":
                words.append("--json")
            elif name == "odd":
                odd = rng.choice((*odd_values.LETTERS, *map(str, odd_values.NUMBERS)))
                words.insert(at, odd.replace("\0", ""))
            elif words and name == "drop":
                del words[rng.randrange(len(words))]
            elif words and name == "swap":
                one, other = rng.randrange(len(words)), rng.randrange(len(words))
                words[one], words[other] = words[other], words[one]
            elif words:
                words *= rng.choice((2, 20))
        return Case("words", "w.json", files={"w.json": json.dumps(_FLOW).encode()}, words=words, tame=True)


TARGETS = (Words(),)
