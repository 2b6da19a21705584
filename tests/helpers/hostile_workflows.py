"""Workflow files of at most 16 MiB that are as costly to read and check as their maker could think of."""

import json

MIB = 2**20


def node(kind, params=None, **inputs):
    return {"type": kind, **({"params": params} if params else {}), **({"inputs": inputs} if inputs else {})}


def loader(path="room.png"):
    return node("image.load", {"path": path})


def filled(number, image, mask="n0.mask"):
    return node("image.fill", None, image=image, mask=mask)


def many(count, make, outputs=None, **more):
    """A file with nodes n0, n1, …; the first one is a picture unless `make` says otherwise."""
    nodes = {"n0": loader()} | {f"n{n}": made for n in range(count) if (made := make(n)) is not None}
    whole = {"format": 1, "nodes": nodes, "outputs": outputs or {"image": "n0.image"}, **more}
    return json.dumps(whole, ensure_ascii=False)


def one(made, **more):
    return many(1, lambda n: made, **more)


def numbered(count, start="k"):
    return {f"{start}{n}": n for n in range(count)}


def filling(piece, before="", after=""):
    """Text of 16 MiB that repeats a piece."""
    return before + piece * ((16 * MIB - len(before) - len(after)) // len(piece)) + after


def after_first(n, make):
    return make(n) if n else None


TEXTS = {
    "brackets": lambda: filling("["),
    "braces": lambda: filling('{"a":'),
    "empty lists": lambda: filling("[],", "[", "[]]"),
    "empty objects": lambda: filling("{},", "[", "{}]"),
    "numbers": lambda: filling("1,", '{"format":1,"nodes":[', "1]}"),
    "floats": lambda: filling("1e308,", "[", "1]"),
    "an infinite float": lambda: '{"format": 1e999999}',
    "a number of 16 MiB": lambda: filling("1"),
    "a number of 4,301 digits": lambda: '{"format":' + "1" * 4301 + "}",
    "a number of 4,000 digits": lambda: '{"format":1,"nodes":{},"ui":{"a":' + "1" * 4000 + "}}",
    "a text of 16 MiB": lambda: filling("x", '"', '"'),
    "a title of 16 MiB": lambda: filling("x", '{"format":1,"nodes":{},"title":"', '"}'),
    "a node's name of 15 MiB": lambda: '{"format":1,"nodes":{"' + "x" * 15 * MIB + '":{"type":"x"}}}',
    "quotes": lambda: filling('\\"', '"', '"'),
    "escapes that never end": lambda: filling("\\u0041", '"'),
    "lone surrogates": lambda: '{"format":1,"nodes":{"\\ud800":{"type":"\\udfff"}}}',
    "texts": lambda: filling('"",', "[", '""]'),
    "words": lambda: filling("true,", "[", "true]"),
    "spaces": lambda: filling(" "),
    "colons": lambda: filling(":"),
    "commas": lambda: filling(","),
    "zero bytes": lambda: filling("\0"),
    "one key often": lambda: filling('"a":1,', '{"format":1,', '"a":1}'),
    "unknown keys": lambda: many(1, lambda n: None, **numbered(300_000)),
    "unknown keys of a node": lambda: one(loader() | numbered(300_000)),
    "unknown settings": lambda: one(node("image.load", numbered(300_000))),
    "unknown sockets": lambda: one({"type": "image.fill", "inputs": {f"s{n}": "n0.image" for n in range(200_000)}}),
    "unknown types": lambda: many(50_000, lambda n: node(f"image.laod{n}")),
    "nodes that are no objects": lambda: many(99_000, lambda n: n),
    "more nodes than allowed": lambda: many(120_000, lambda n: node("x.y")),
    "paths in a list": lambda: one(node("subject.photos", {"path": ["a.png"] * 400_000})),
    "paths in many nodes": lambda: many(20_000, lambda n: loader(f"{n}.png")),
    "one path in many nodes": lambda: many(20_000, lambda n: loader()),
    "inputs": lambda: one(loader(), inputs={f"i{n}": "n0.path" for n in range(200_000)}),
    "targets": lambda: one(loader(), inputs={"i": ["n0.paht"] * 300_000}),
    "as many targets as allowed": lambda: one(loader(), inputs={"i": [f"n{n}.p" for n in range(9999)]}),
    "as many inputs as allowed": lambda: one(loader(), inputs={f"i{n}": "n0.paht" for n in range(1000)}),
    "outputs": lambda: one(loader(), outputs={f"o{n}": "n0.image" for n in range(200_000)}),
    "outputs of missing nodes": lambda: one(loader(), outputs={f"o{n}": f"m{n}.image" for n in range(1000)}),
    "links to one socket": lambda: one(node("image.fill", None, image=["n0.image"] * 300_000)),
    "links to missing nodes": lambda: many(50_000, lambda n: filled(n, f"m{n}.image", f"m{n}.mask")),
    "nothing connected": lambda: many(99_000, lambda n: node("image.fill")),
    "as many nodes as allowed": lambda: many(
        99_999, lambda n: after_first(n, lambda n: filled(n, f"n{n - 1}.image")), outputs={"image": "n99998.image"}
    ),
    "as many nodes as allowed, not needed": lambda: many(
        99_999, lambda n: after_first(n, lambda n: filled(n, "n0.image"))
    ),
    "a ring": lambda: many(50_000, lambda n: filled(n, f"n{(n + 1) % 50_000}.image", f"n{(n + 7) % 50_000}.image")),
    "masks": lambda: many(
        3_000,
        lambda n: after_first(
            n, lambda n: node("mask.grow", {"pixels": n}, mask="n0.mask" if n == 1 else f"n{n - 1}.mask")
        ),
        outputs={"mask": "n2999.mask"},
    ),
    "models": lambda: many(
        1000,
        lambda n: node("model.stable_diffusion", {"source": f"me/m{n}"}),
        outputs={f"o{n}": f"n{n}.vae" for n in range(1000)},
    ),
    "an editor's data": lambda: one(loader(), ui={"n0": [[[0] * 300_000]]}),
}


def prompts(text):
    """100 prompts of 99,000 characters each."""
    nodes = {"m": node("model.stable_diffusion", {"source": "dollhouse"})}
    for n in range(100):
        nodes[f"n{n}"] = node("condition.text", {"prompt": f"{n} {text}"}, text_encoder="m.text_encoder")
        nodes[f"n{n}"]["version"] = 2
    outputs = {f"o{n}": f"n{n}.conditioning" for n in range(100)}
    return json.dumps({"format": 1, "nodes": nodes, "outputs": outputs}, ensure_ascii=False)


LONG = 99_000
PROMPTS = {
    "opening brackets": lambda: prompts("(" * LONG),
    "nested brackets": lambda: prompts("(a" * (LONG // 2)),
    "colons in brackets": lambda: prompts("(a:" * (LONG // 3)),
    "a weight without an end": lambda: prompts("(a:" + "1" * LONG),
    "a weight of points": lambda: prompts("(a:" + "." * LONG),
    "a weight of spaces": lambda: prompts("(a:" + " " * LONG),
    "one word": lambda: prompts("x" * LONG),
    "many marks": lambda: prompts("(a" * 10 + ":" * LONG),
    "a schedule without an end": lambda: prompts("[a" + ":1" * (LONG // 2)),
    "alternatives without an end": lambda: prompts("[a" + "|" * LONG),
    "wildcards without an end": lambda: prompts("/__a" * (LONG // 4)),
    "pluses": lambda: prompts("aa" + "+" * LONG + "x"),
}
