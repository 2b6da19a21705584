"""Workflows by the grammar of the real node types: valid graphs, which mutations then spoil."""

from functools import cache

from . import odd_values

#: Node types whose run costs little; the others need a model.
_LIGHT = (
    "image.",
    "mask.",
    "metric.psnr",
    "metric.ssim",
    "metric.known_region",
    "report.",
    "latent.load",
    "latent.save",
)
COMPILERS = ("kernels", "cuda_graphs")  # of model.fast: they start a compiler, as its page says
_EMBEDDED = {
    "dollhouse": ("model.stable_diffusion",),
    "dollhouse-exemplar": ("model.paint_by_example", "model.exemplar_encoder"),
    "dollhouse-clip": ("model.clip",),
    "dollhouse-detector": ("model.detector",),
}


@cache
def node_types():
    from inlay.nodes import load_pack

    return dict(load_pack())


@cache
def _schema(node_id):
    return node_types()[node_id].params.model_json_schema()


@cache
def _producers(socket, light):
    found = []
    for node_id, spec in node_types().items():
        if light and not is_light(node_id):
            continue
        found += [(node_id, name) for name, port in spec.outputs.items() if port.socket == socket]
    return found


def is_light(node_id):
    return node_id.startswith(_LIGHT) and node_id not in ("mask.detect", "mask.to_latent", "image.grid")


class _Grower:
    def __init__(self, rng, light, tame):
        self.rng, self.light, self.tame = rng, light, tame
        self.nodes, self.unfinished = {}, set()

    def node(self, node_id, depth=0):
        """Add a node with all that it needs; returns its name."""
        name = f"n{len(self.nodes)}"
        spec = node_types()[node_id]
        entry = self.nodes[name] = {"type": node_id, "version": spec.version}
        self.unfinished.add(name)
        params = self.params(spec)
        if params:
            entry["params"] = params
        inputs = {}
        for socket in spec.sockets.values():
            if socket.optional and self.rng.random() < 0.7:
                continue
            if (link := self.link(socket.port.socket, depth)) is not None:
                inputs[socket.name] = link
        if inputs:
            entry["inputs"] = inputs
        self.unfinished.discard(name)
        return name

    def link(self, socket, depth):
        """`node.output` of that type, from a finished node or from a new one; None if the graph gets too deep."""
        finished = [
            f"{name}.{output}"
            for name, entry in self.nodes.items()
            if name not in self.unfinished
            for output, port in node_types()[entry["type"]].outputs.items()
            if port.socket == socket
        ]
        if finished and (depth > 4 or self.rng.random() < 0.6):
            return self.rng.choice(finished)
        if socket == "MASK" and self.rng.random() < 0.6:  # other masks are often empty
            return f"{self.node('mask.load', depth + 1)}.mask"
        makers = _producers(socket, self.light)
        if depth > 4:
            makers = [maker for maker in makers if not node_types()[maker[0]].sockets] or makers
        if not makers or depth > 7:
            return None
        node_id, output = self.rng.choice(makers)
        return f"{self.node(node_id, depth + 1)}.{output}"

    def params(self, spec):
        found = {}
        schema = _schema(spec.id)
        for name, field in schema.get("properties", {}).items():
            if name in spec.path_roles:
                found[name] = self.path(spec, name)
            elif name in schema.get("required", ()) or self.rng.random() < (0.15 if self.tame else 0.4):
                found[name] = _value(field, schema, self.rng, self.tame)
        return found

    def path(self, spec, name):
        kind = spec.path_roles[name].kind
        if kind == "model":
            likely = [name for names in _EMBEDDED.items() if spec.id in names[1] for name in (names[0],) * 8]
            return self.rng.choice([*likely, "dollhouse", "hub/model", "latent.safetensors"])
        if spec.id.startswith(("latent", "noise")):
            return "latent.safetensors"
        if name == "boxes":
            return self.rng.choice([None, None, "boxes.csv"])
        if name == "masks":
            return self.rng.choice([None, None, "mask.png"])
        good = ["mask.png"] if spec.family == "mask" else ["a.png", "b.jpg", "sub/c.png", "a.png"]
        return self.rng.choice([*good, "sub/*.png"]) if self.rng.random() < 0.9 else self.rng.choice(odd_values.PATHS)


def _value(field, schema, rng, tame):
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if "anyOf" in field:
        kinds = field["anyOf"]
        null = {"type": "null"} in kinds and rng.random() < 0.6
        return None if null else _value(rng.choice(kinds), schema, rng, tame)
    if "enum" in field:
        return rng.choice([one for one in field["enum"] if one not in COMPILERS])
    if "const" in field:
        return field["const"]
    kind = field.get("type")
    if kind in ("integer", "number"):
        low = field.get("minimum", field.get("exclusiveMinimum", -4))
        high = field.get("maximum", field.get("exclusiveMaximum", low + 40))
        if tame:
            high = min(high, low + 16)
        number = rng.choice([low, high, rng.uniform(low, high), rng.uniform(low, min(high, low + 10))])
        return int(number) if kind == "integer" else float(number)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(["a cat", "x", "a b c"])
    if kind == "array":
        return [_value(field.get("items", {}), schema, rng, tame) for _ in range(rng.randrange(4))]
    return None


def grow(rng, *, light=False, tame=False):
    """A workflow as a dict: a few nodes, each with all that it needs."""
    grower = _Grower(rng, light, tame)
    ids = sorted(node_id for node_id in node_types() if not light or is_light(node_id))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        grower.node(rng.choice(ids))
    outputs = {}
    for name, entry in grower.nodes.items():
        produced = list(node_types()[entry["type"]].outputs)
        if produced and rng.random() < 0.4:
            outputs[f"o{len(outputs)}"] = f"{name}.{rng.choice(produced)}"
    inputs = {}
    for name, entry in grower.nodes.items():
        if entry.get("params") and rng.random() < 0.2:
            inputs[f"i{len(inputs)}"] = f"{name}.{rng.choice(list(entry['params']))}"
    tree = {"format": 1, "title": "t", "nodes": grower.nodes, "outputs": outputs}
    if inputs:
        tree["inputs"] = inputs
    if rng.random() < 0.1:
        tree["ui"] = {name: {"x": 0, "y": 1} for name in grower.nodes}
    return tree
