"""Puts the table of path tricks to a server as requests, and notes what is opened; a program of its own.

Each path comes in a workflow, as a setting, as a value of an input, and as an option of `inpaint`. What the check lets
through is run, as a worker runs it.
"""

import json
import sys
from pathlib import Path

import path_tricks


def requests_of(trick: path_tricks.Trick) -> list[tuple[str, dict]]:
    """The ways in which a client can send what a trick tries."""
    raw = json.loads(Path(trick.source).read_text(encoding="utf-8"))
    node = raw["nodes"]["it"]
    given = {name.partition(".")[2]: value for name, value in trick.typed.items()} or node["params"]
    name, value = next(iter(given.items()))
    bare = {**raw, "nodes": {**raw["nodes"], "it": {**node, "params": {}}}}
    whole = {**raw, "nodes": {**raw["nodes"], "it": {**node, "params": given}}}
    ways = [
        ("file", {"workflow": whole}),
        ("setting", {"workflow": bare, "settings": {f"it.{key}": one for key, one in given.items()}}),
        ("value", {"workflow": {**whole, "inputs": {"x": f"it.{name}"}}, "values": {"x": value}}),
    ]
    if isinstance(value, str):
        photo = {"image": "a.png", "mask": "mask.png"}
        if name == "path":
            ways.append(("image", {"workflow": "inpaint", "values": {"image": value, "mask": "mask.png"}}))
            ways.append(
                ("example", {"workflow": "inpaint", "values": {**photo, "source": "dollhouse", "example": value}})
            )
        else:
            ways.append(("source", {"workflow": "inpaint", "values": {**photo, "source": value}}))
            ways.append(("lora", {"workflow": "inpaint", "values": {**photo, "source": "./model", "lora": value}}))
    return ways


def main(base: Path) -> None:
    """Send everything; write what was said and opened."""
    import inlay
    from inlay.graph_runtime.core.errors import NodeError, WorkflowError
    from inlay.graph_runtime.front.python.run_loaded import run_loaded
    from inlay.graph_runtime.front.serve.requests import RunRequest, prepare
    from inlay.graph_runtime.front.serve.service import Service
    from inlay.graph_runtime.front.serve.settings import Settings

    tricks = [path_tricks.Trick(**one) for one in json.loads((base / "table.json").read_text(encoding="utf-8"))]
    model = next(trick for trick in tricks if trick.honest and not trick.typed)
    inlay.run(model.source, out=base / "saved")
    flow = {"nodes": {"it": {"type": "image.load", "params": {"path": "x"}}}, "outputs": {"x": "it.image"}}
    inlay.run({"format": 1, **flow}, out=base / "saved", set={"it.path": str(base / "secret/a.png")})  # remembered
    service = Service(Settings(out=base / "saved", inputs=base / "in", folder=base / "home/serve", device="cpu"))
    service.settings.uploads.mkdir(parents=True)

    def ask(request: dict) -> str:
        checked = service.check(RunRequest(**request))
        if checked.report:
            return "refused: " + " ".join(str(problem) for problem in checked.report)
        loaded = prepare(checked.request, service.places).loaded
        loaded.out = base / "saved/run"
        try:
            run_loaded(loaded, device="cpu", cache=False)
        except (WorkflowError, NodeError) as error:
            return f"refused: {error}"
        return "fine"

    watch = path_tricks.Watch()
    seen = []
    for number, trick in enumerate(tricks):
        if trick.source.endswith(".json"):
            ways = requests_of(trick)
            ways = [ways[number % len(ways)]]  # one of them each: all take minutes
        else:
            upload = service.uploads.begin("image/png", None)
            upload.write(Path(trick.source).read_bytes())
            ways = [("recalled", {"workflow": {"upload": service.uploads.finish(upload)["id"]}})]
        for way, request in ways:
            watch.opened, watch.others = set(), []
            try:
                said = ask(request)
            except Exception as error:  # noqa: BLE001 - it is reported, and the rest of the table goes on
                said = f"unforeseen: {type(error).__name__}: {error}"
            seen.append(
                {"name": trick.name, "way": way, "said": said, "opened": sorted(watch.opened), "others": watch.others}
            )
    (base / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
