"""What the kill harness kills: work that is done to the end or again, and what must hold after a kill.

`work(folder, announce)` runs in a process of its own and may be killed at any instant. `intact(folder, announced)`
looks at the disk after a kill; `done(folder, announced, reference)` after the same work was run again, to its end.
"""

import json
import os
import sqlite3
import subprocess
import time
import types
from contextlib import closing
from pathlib import Path
from typing import Annotated, NamedTuple

import inlay
from inlay.graph_runtime import Port, node
from inlay.graph_runtime.core import files, leftovers

SAVED = 8
ALBUM = 5  # pictures of a job
WORTH = 0.04  # seconds of a node that is worth keeping
FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "seed": "fill.seed"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {
            "type": "mask.shape",
            "params": {"kind": "ellipse", "x": 8, "y": 8, "width": 40, "height": 30},
            "inputs": {"image": "photo.image"},
        },
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
        "save": {"type": "image.save", "inputs": {"image": "fill.image"}},
    },
    "outputs": {"image": "fill.image"},
}


def visible(folder: Path) -> list[Path]:
    """Every file below a folder whose name, and that of no folder above it, is hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def hidden(folder: Path) -> list[str]:
    """Names of unfinished files below a folder."""
    return [path.name for path in folder.rglob(".*") if path.name.endswith((".part", ".old", ".claim"))]


def databases_are_whole(home: Path) -> None:
    """SQLite itself finds nothing wrong, and nothing had to be set aside."""
    for path in home.rglob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
    assert not list(home.rglob("*.damaged"))


#: The files of the toy hub's repository.
SERVED = {f"unet/{number}.safetensors": bytes([number]) * 150_000 for number in range(1, 4)}


class Scenario:
    """One kind of work; `seconds` and `calls` bound the instants of its kills, and are measured once."""

    weight = 1
    seconds, calls = 0.0, 0

    def warm(self, folder: Path) -> None:
        """Import once, for all processes, what takes long to import."""

    def work(self, folder: Path, announce) -> None:
        """Do the work, or what is missing of it."""
        raise NotImplementedError

    def intact(self, folder: Path, announced: list) -> None:
        """What must hold after a kill."""
        raise NotImplementedError

    def done(self, folder: Path, announced: list, reference: Path) -> None:
        """What must hold after the work was run again, to its end."""
        assert hidden(folder) == [], f"left over: {hidden(folder)}"
        databases_are_whole(folder / "home")


class Save(Scenario):
    """Pictures are saved; each announced one stays, whole."""

    weight = 4

    def warm(self, folder):
        """Run what is not kept."""
        inlay.run(FLOW, out=folder, image=_photo(folder), cache=False)
        inlay.run(CHAIN, nodes=[_chain_module()], out=folder, cache=False)

    def work(self, folder, announce):
        """Save pictures of several seeds."""
        for seed in range(SAVED):
            inlay.run(
                FLOW,
                out=folder / "out",
                image=_photo(folder),
                seed=seed,
                listeners=[lambda event, seed=seed: _saved(event, seed, announce)],
            )

    def intact(self, folder, announced):
        """Announced files are there; PNGs are whole to their last chunk."""
        for _, path in announced:
            assert Path(path).read_bytes().endswith(b"IEND\xaeB`\x82"), path
        for path in visible(folder / "out"):
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path

    def done(self, folder, announced, reference):
        """Every file is one of an undisturbed run, byte for byte; each announced one is that of its seed."""
        super().done(folder, announced, reference)
        expected = {int(path.stem[-5:]) - 1: path.read_bytes() for path in visible(reference / "out")}
        for seed, path in announced:
            assert Path(path).read_bytes() == expected[seed], path
        found = [path.read_bytes() for path in visible(folder / "out")]
        assert all(content in expected.values() for content in found)
        assert len(found) >= len(announced) == len({path for _, path in announced})


class SaveWithoutLinks(Save):
    """The same on a file system without hard links."""

    def work(self, folder, announce):
        """Save, where links are refused."""
        os.link = _refused
        super().work(folder, announce)


class Job(Scenario):
    """A folder of pictures: what was done is not done again, and the result of each has its name, whole."""

    weight = 4

    def warm(self, folder):
        """Run a small one."""
        inlay.run(FLOW, image=[_photo(folder)], out=folder / "warm", cache=False)

    def work(self, folder, announce):
        """Run the job; tell what became of each picture."""
        inlay.run(
            FLOW,
            image=_album(folder),
            out=folder / "out",
            cache=False,
            listeners=[lambda event: _ended(event, announce)],
        )

    def intact(self, folder, announced):
        """Each picture that was announced is there under its name, and all are whole."""
        for _, name in announced:
            assert (folder / "out" / f"{name}.png").is_file(), name
        for path in visible(folder / "out"):
            if path.suffix == ".png":
                assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path

    def done(self, folder, announced, reference):
        """The same files as of an undisturbed run; none was made again once it was announced, and none has a number."""
        super().done(folder, announced, reference)
        found, expected = (
            {path.name: path.read_bytes() for path in visible(place / "out") if path.suffix != ".csv"}
            for place in (folder, reference)
        )
        assert found == expected, sorted(found)
        made = [name for status, name in announced if status == "done"]
        assert len(made) == len(set(made)), f"made twice: {made}"
        assert {name for _, name in announced} == set(map(str, range(ALBUM)))
        rows = (folder / "out/job.csv").read_text().splitlines()
        assert len(rows) == ALBUM + 1
        assert all(len(row.split(",")[2]) == 64 for row in rows[1:])


class JobWithoutLinks(Job):
    """The same on a file system without hard links."""

    weight = 2

    def work(self, folder, announce):
        """Run the job, where links are refused."""
        os.link = _refused
        super().work(folder, announce)


class Keep(Scenario):
    """Results are kept; what was made is not made again, and is what an undisturbed run makes."""

    weight = 3
    warm = Save.warm

    def work(self, folder, announce):
        """Run a chain of nodes whose results are kept; tell which were made, and the end's digest."""
        result = inlay.run(
            CHAIN, nodes=[_chain_module()], out=folder / "out", listeners=[lambda event: _made(event, announce)]
        )
        announce(["end", inlay_digest(result["x"])])

    def intact(self, folder, announced):
        """Nothing to see: what is kept is looked at by running again."""

    def done(self, folder, announced, reference):
        """What was announced as made before the last run is not made again."""
        super().done(folder, announced, reference)
        made = [name for kind, name in announced if kind == "made"]
        assert len(made) == len(set(made)), f"made twice: {sorted(name for name in made if made.count(name) > 1)}"
        assert {name for kind, name in announced if kind == "end"} == {json.loads((reference / "end").read_text())}


class KeepOnDevices(Keep):
    """The same with several branches on two devices: what is announced is on disk, whatever runs beside it."""

    weight = 2

    def work(self, folder, announce):
        """Run three chains at once."""
        result = inlay.run(
            BRANCHES,
            nodes=[_chain_module()],
            out=folder / "out",
            device="cpu:0,cpu:1",
            listeners=[lambda event: _made(event, announce)],
        )
        announce(["end", " ".join(inlay_digest(result[name]) for name in sorted(result))])


class Invert(Scenario):
    """An inversion goes on from its steps, to the same bytes; no step that was announced as kept is made again."""

    weight = 3
    STEPS = 24

    def work(self, folder, announce):
        """Invert with a toy model; tell each evaluation, each step that is kept, and the end."""
        import torch
        from inlay.graph_runtime import Context
        from inlay.graph_runtime.core import tensor_store
        from inlay.graph_runtime.core.store.disk import DiskStore
        from inlay.methods.inversion.ddim import invert_ddim
        from schedules import ddim_from_config

        tensor_store.KEEP_SECONDS = 0.0
        ctx = Context(store=DiskStore(folder / "home/cache", "here"))
        schedule = ddim_from_config(
            {
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "num_train_timesteps": 1000,
            },
            steps=self.STEPS,
            eta=0.0,
        )
        begun = tensor_store.Unfinished(ctx, b"toy", "toy", width=1)

        def model(z, t, embeddings):
            announce(["evaluated", int(t)])
            return (z * 0.1 + float(t) / 1000).sin()

        def keep(latent):
            begun.add(latent)
            announce(["kept", len(begun._keys)])

        def make():
            done = [latent for (latent,) in begun.steps(torch.device("cpu"))]
            z = torch.linspace(-1, 1, 4 * 4096).reshape(1, 4, 64, 64)
            return (invert_ddim(model, schedule, z, None, done=done, keep=keep),)

        (latents,) = tensor_store.stored(ctx, b"whole", "toy", make)
        begun.finished()
        announce(["end", inlay_digest(latents)])

    def intact(self, folder, announced):
        """A step that was announced as kept is not evaluated again."""
        kept, seen = 0, set()
        for kind, value in announced:
            if kind == "kept":
                kept = value
            elif kind == "evaluated":
                assert value not in seen or kept < len(seen), f"step {value} was made again"
                seen.add(value)

    def done(self, folder, announced, reference):
        """The same bytes, and no more evaluations than steps and kills."""
        super().done(folder, announced, reference)
        self.intact(folder, announced)
        assert {name for kind, name in announced if kind == "end"} == {json.loads((reference / "end").read_text())}
        evaluated = [value for kind, value in announced if kind == "evaluated"]
        assert len(evaluated) <= self.STEPS + 3, f"{len(evaluated)} evaluations"  # one of each kill was under way


class Sweep(Scenario):
    """A grid: each combination is made once, has its file, and the table and the sheet are those of all."""

    weight = 3
    SEEDS = 5

    def warm(self, folder):
        """Run a small one."""
        inlay.sweep(FLOW, grid={"seed": [1, 2]}, image=_photo(folder), out=folder / "warm", cache=False)

    def work(self, folder, announce):
        """Run the sweep; tell what became of each combination."""
        inlay.sweep(
            FLOW,
            grid={"seed": list(range(self.SEEDS))},
            image=_photo(folder),
            out=folder / "out",
            listeners=[lambda event: _ended(event, announce)],
        )

    def intact(self, folder, announced):
        """All pictures that have their names are whole."""
        for path in visible(folder / "out"):
            if path.suffix == ".png":
                assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path

    def done(self, folder, announced, reference):
        """The same files as of an undisturbed sweep; none was made again once it was announced."""
        super().done(folder, announced, reference)
        found, expected = (
            {path.name: path.read_bytes() for path in visible(place / "out") if path.suffix == ".png"}
            for place in (folder, reference)
        )
        assert found == expected, sorted(found)
        assert len(found) == self.SEEDS + 1  # and the sheet
        made = [name for status, name in announced if status == "done"]
        assert len(made) == len(set(made)), f"made twice: {made}"
        assert len((folder / "out/table.csv").read_text().splitlines()) == self.SEEDS + 1


class Known(Scenario):
    """Where files were read is remembered."""

    weight = 3

    def work(self, folder, announce):
        """Remember many files, some of them again."""
        from inlay.graph_runtime.core import digest_store
        from inlay.graph_runtime.front.recipe.known_inputs import remember

        for number in range(60):
            remember({f"{number}": f"/photos/{number}.png", "last": f"/photos/{number}.png"})
            digest_store.keep((0, 0, 0, 0, number), f"{number:064x}")
            announce(["known", number])

    def intact(self, folder, announced):
        """SQLite's own view."""
        home = folder / "home"
        for name, query in (
            ("known-inputs.sqlite", "SELECT digest, path FROM inputs"),
            ("digests.sqlite", "SELECT * FROM digests"),
        ):
            found = {}
            if (home / name).exists() and (home / name).stat().st_size:
                with closing(sqlite3.connect(home / name)) as database:
                    found = dict(database.execute(query).fetchall()) if _has_tables(database) else {}
            for _, number in announced:
                key = str(number) if name.startswith("known") else repr((0, 0, 0, 0, number))
                wanted = f"/photos/{number}.png".encode() if name.startswith("known") else f"{number:064x}"
                assert found.get(key) == wanted, (name, number)

    def done(self, folder, announced, reference):
        """All are there."""
        super().done(folder, announced, reference)
        self.intact(folder, [["known", number] for number in range(60)])


class Train(Scenario):
    """A training continues from its last checkpoint, to the same bytes."""

    weight = 3

    def warm(self, folder):
        """Train once."""
        self.work(folder, lambda words: None)

    def work(self, folder, announce):
        """Train, write the result as a file and as a folder."""
        import torch
        from inlay.training.checkpoint import write_tensors
        from trainer_toys import fit, make

        torch.set_num_threads(1)
        module, trainer = make(folder / "out", steps=24, save_every=1)
        trainer.resume()
        announce(["resumed", trainer.step])
        fit(trainer, lambda now: announce(["step", now.step]) if now.step < 24 else None)
        announce(["step", trainer.step])
        write_tensors(trainer.result(), folder / "out" / "lora.safetensors", {"steps": trainer.step})
        announce(["file", "lora.safetensors"])
        with files.replacing_folder(folder / "out" / "model") as beside:
            (beside / "unet").mkdir()
            write_tensors(dict(module.state_dict()), beside / "unet" / "weights.safetensors")
            (beside / "model_index.json").write_text("{}")
        announce(["file", "model/unet/weights.safetensors"])

    def intact(self, folder, announced):
        """Files are whole; no step that was announced is taken again."""
        from safetensors.torch import load_file

        for path in visible(folder / "out"):
            if path.suffix == ".safetensors":
                load_file(path)
        for kind, name in announced:
            assert kind != "file" or leftovers.recover(folder / "out" / "model") or "model" not in name
            assert kind != "file" or (folder / "out" / name).is_file(), name
        last = 0
        for kind, step in announced:
            assert kind != "resumed" or step >= last, f"resumed from {step} after {last}"
            last = max(last, step) if kind == "step" else last

    def done(self, folder, announced, reference):
        """The same files with the same bytes."""
        super().done(folder, announced, reference)
        found, expected = (
            {path.relative_to(place).as_posix(): path.read_bytes() for path in visible(place / "out")}
            for place in (folder, reference)
        )
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == []


class Download(Scenario):
    """Files of a hub; none is seen in part, and no process goes on downloading."""

    weight = 1
    hub = ""

    def warm(self, folder):
        """Import the client."""
        from huggingface_hub import constants
        from inlay.models.hub import client

        assert constants.HF_HUB_CACHE
        assert client.ANSWER

    def work(self, folder, announce):
        """Download a repository."""
        for name in ("INLAY_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
            os.environ.pop(name, None)
        from huggingface_hub import constants
        from inlay.models.hub import client

        constants.HF_HUB_OFFLINE, constants.ENDPOINT = False, self.hub
        constants.HF_HUB_CACHE = str(folder / "hub")
        client.ANSWER = 30.0  # seconds: on a busy machine the toy hub may be slow to answer
        asked = client.Request("toy/model", None)
        found = client.listing(asked)
        root = client.download(asked, found.names, found.sizes)
        announce(["root", str(root)])

    def intact(self, folder, announced):
        """Every file that has its name is whole; the download's own process has ended too."""
        for path in (folder / "hub").rglob("snapshots/*/**/*"):
            if path.is_file():
                assert path.read_bytes() == SERVED[path.relative_to(path.parents[1]).as_posix()], path
        for _, root in announced:
            assert all((Path(root) / name).is_file() for name in SERVED)
        end = time.monotonic() + 2
        while (running := _processes_of(folder)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not running, f"still downloading: {running}"

    def done(self, folder, announced, reference):
        """All files, and nothing unfinished."""
        super().done(folder, announced, reference)
        self.intact(folder, announced)
        assert announced
        assert not list((folder / "hub").rglob("*.incomplete"))


SCENARIOS = {
    "save": Save(),
    "save without links": SaveWithoutLinks(),
    "job": Job(),
    "job without links": JobWithoutLinks(),
    "keep": Keep(),
    "keep on devices": KeepOnDevices(),
    "invert": Invert(),
    "sweep": Sweep(),
    "known": Known(),
    "train": Train(),
    "download": Download(),
}

Number = Annotated[object, Port("NUMBER", "a tensor")]


class One(NamedTuple):
    x: Number


CHAIN = {
    "format": 1,
    "nodes": {"n0": {"type": "kill.begin"}}
    | {f"n{i}": {"type": "kill.next", "params": {"by": i}, "inputs": {"a": f"n{i - 1}.x"}} for i in range(1, 8)},
    "outputs": {"x": "n7.x"},
}


BRANCHES = {
    "format": 1,
    "nodes": {f"n{row}0": {"type": "kill.begin"} for row in range(3)}
    | {
        f"n{row}{i}": {"type": "kill.next", "params": {"by": row * 10 + i}, "inputs": {"a": f"n{row}{i - 1}.x"}}
        for row in range(3)
        for i in range(1, 4)
    },
    "outputs": {f"x{row}": f"n{row}3.x" for row in range(3)},
}


def _chain_module():
    import torch

    @node("kill.begin")
    def begin() -> One:
        """A tensor, which takes long enough to be worth keeping."""
        time.sleep(WORTH)
        return One(torch.arange(60_000, dtype=torch.float32).reshape(1, 200, 300))

    @node("kill.next")
    def following(a: Number, by: int = 0) -> One:
        """Another one."""
        time.sleep(WORTH)
        return One((a * 1.25 + by).sin())

    module = types.ModuleType("kill_chain")
    module.begin, module.following = begin, following
    return module


def inlay_digest(tensor) -> str:
    """The bytes of a tensor, as a hash."""
    import hashlib

    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def _made(event, announce) -> None:
    if type(event).__name__ == "NodeFinished" and not event.cached:
        announce(["made", event.node])


def _ended(event, announce) -> None:
    if type(event).__name__ == "ItemFinished":
        announce([event.status, event.name])


def _album(folder: Path) -> Path:
    """Pictures of several sizes, the same in every folder."""
    from PIL import Image

    for number in range(ALBUM):
        path = folder / f"album/{number}.png"
        if not path.exists():
            with files.replacing(path, parents=True) as beside:
                Image.radial_gradient("L").resize((64 + number, 48)).convert("RGB").save(beside, "PNG")
    return folder / "album"


def _saved(event, seed, announce) -> None:
    if type(event).__name__ == "Saved":
        announce([seed, event.path])


def _refused(*args):
    raise OSError(95, "Operation not supported")


def _photo(folder: Path) -> Path:
    """A picture, the same in every folder."""
    from PIL import Image

    path = folder / "photo.png"
    if not path.exists():
        with files.replacing(path) as beside:
            Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(beside, "PNG")
    return path


def _has_tables(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _processes_of(folder: Path) -> list[str]:
    """Processes of this machine with a hub cache in this folder."""
    listed = subprocess.run(["ps", "eww", "-Ao", "pid,stat,command"], capture_output=True, text=True, check=False)
    return [line[:60] for line in listed.stdout.splitlines() if f"HF_HUB_CACHE={folder}" in line and " Z" not in line]
