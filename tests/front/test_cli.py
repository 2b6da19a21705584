"""The command line as a person uses it: exit statuses, what stands on stdout and on stderr."""

import json
import signal
import subprocess
import sys
import time

import pytest


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from inlay.graph_runtime.front.cli.main import main; sys.exit(main())",
            "check",
            "gone.json",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("inlay: ")


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    path = tmp_path / "red.png"
    Image.new("RGB", (24, 16), (200, 10, 30)).save(path)
    return path


@pytest.fixture
def flow(tmp_path, picture):
    """Loads a picture, masks its middle, fills the hole with grey, pastes it back; saves nothing by itself."""
    path = tmp_path / "flow.json"
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "title": "Grey hole",
                "inputs": {"image": "photo.path", "seed": "grey.seed", "fill": "grey.fill"},
                "nodes": {
                    "photo": {"type": "image.load", "params": {"path": "red.png"}},
                    "hole": {
                        "type": "mask.shape",
                        "params": {"kind": "rectangle", "x": 4, "y": 4, "width": 8, "height": 8},
                        "inputs": {"image": "photo.image"},
                    },
                    "grey": {
                        "type": "image.fill",
                        "params": {"fill": "noise"},
                        "inputs": {"image": "photo.image", "mask": "hole.mask"},
                    },
                },
                "outputs": {"picture": "grey.image"},
            }
        )
    )
    return path


def test_help_imports_no_torch():
    code = (
        "import sys; from inlay.graph_runtime.front.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "bad = {'torch', 'pydantic', 'networkx', 'numpy'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("run", "check", "nodes", "schema", "draw", "doctor", "models"):
        assert command in done.stdout


def test_run_saves_pictures_also_where_the_file_does_not(command, flow, tmp_path):
    done = command("run", flow, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "out" / "picture_00001.png")]
    assert (tmp_path / "out" / "picture_00001.png").is_file()


def test_json_prints_one_object_and_nothing_else_on_stdout(command, flow, tmp_path):
    done = command("run", flow, "--out", tmp_path / "out", "--json")
    report = json.loads(done.stdout)
    assert report["status"] == "done"
    assert report["outputs"]["picture"]["shape"] == [1, 16, 24, 3]
    assert set(report["timings"]) >= {"photo", "hole", "grey"}
    bad = command("run", flow, "--image", "gone.png", "--json")
    report = json.loads(bad.stdout)
    assert (bad.returncode, report["status"]) == (2, "error")
    assert report["problems"][0]["node"] == "photo"
    assert set(report["problems"][0]) == {"node", "port", "found", "expected", "fix"}


def test_the_workflows_own_inputs_become_flags_with_docs(command, flow):
    done = command("run", flow, "--help")
    assert done.returncode == 0
    for word in (
        "--image FILE",
        "--seed INT",
        "--fill neutral|original|noise|blur|edge",
        'default: "noise"',
        "Grey hole",
    ):
        assert word in done.stdout


def test_flags_and_set_change_the_run(command, flow, tmp_path):
    from PIL import Image

    done = command("run", flow, "--fill", "neutral", "--set", "hole.x=0", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with Image.open(done.stdout.strip()) as image:
        assert image.getpixel((0, 5)) == (128, 128, 128)
        assert image.getpixel((9, 5)) == (200, 10, 30)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--seed", "x"], "grey.seed"),
        (["--seed", "-1"], "grey.seed"),
        (["--sead", "1"], "did you mean 'seed'"),
        (["--fill", "gold"], "'neutral'"),
        (["--set", "hole.z=1"], "hole.z"),
        (["--set", "nowhere.x=1"], "nowhere"),
        (["--set", "novalue"], "NODE.PARAM=VALUE"),
        (["--device", "cuda:77"], "--device auto"),
        (["--memory", "lots"], "6GB"),
        (["--inputs", "/no/such/folder"], "--inputs"),
        (["--image"], "--image"),
    ],
)
def test_what_is_typed_wrong_is_status_2_with_a_lesson(command, flow, words, part, tmp_path):
    done = command("run", flow, *words, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["run"],
        ["check"],
        ["nodes", "image.laod"],
        ["schema", "x.y"],
        ["run", "gone.json"],
        ["draw", "gone.json", "-o", "x.svg"],
        ["nodes", "--what"],
    ],
)
def test_wrong_commands_are_status_2(command, words):
    done = command(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("inlay: ")


def test_check_lists_all_problems(command, flow, tmp_path):
    assert command("check", flow).returncode == 0
    raw = json.loads(flow.read_text())
    raw["nodes"]["photo"]["type"] = "image.laod"
    raw["nodes"]["hole"]["params"]["kind"] = "star"
    flow.write_text(json.dumps(raw))
    done = command("check", flow)
    assert done.returncode == 2
    assert "did you mean 'image.load'" in done.stderr
    assert "hole.kind" in done.stderr
    report = json.loads(command("check", flow, "--json").stdout)
    assert len(report["problems"]) == 2


def test_nodes_and_schema(command):
    listing = command("nodes")
    assert "mask.grow" in listing.stdout
    one = command("nodes", "mask.grow")
    assert "pixels" in one.stdout
    assert "feather" in one.stdout
    assert json.loads(command("nodes", "mask.grow", "--json").stdout)["id"] == "mask.grow"
    assert json.loads(command("schema").stdout)["properties"]["format"]["const"] == 1
    assert "pixels" in json.loads(command("schema", "mask.grow").stdout)["properties"]


def test_draw_writes_an_svg_or_nothing(command, flow, tmp_path):
    done = command("draw", flow, "-o", tmp_path / "g.svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    assert command("draw", flow, "-o", tmp_path / "no" / "g.svg").returncode == 2
    assert [path.name for path in tmp_path.glob("*.svg*")] == ["g.svg"]


def test_models_list(command):
    done = command("models", "list", "--json")
    assert done.returncode == 0
    assert "models" in json.loads(done.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_130_and_leaves_nothing_half_written(tmp_path, number):
    flow = tmp_path / "slow.json"
    pack = tmp_path / "slowpack.py"
    pack.write_text(
        "import time\nfrom typing import Annotated, Any, NamedTuple\n"
        "from inlay.graph_runtime import Context, Port, node\n"
        "class Out(NamedTuple):\n    x: Annotated[Any, Port('X')]\n"
        "@node('slow.write', effects=True)\ndef write(ctx: Context) -> Out:\n    'Slow.'\n"
        "    with ctx.new_file('half', '.txt') as path:\n"
        "        path.write_text('half')\n        print('ready', flush=True)\n        time.sleep(60)\n"
        "    return Out(1)\n"
    )
    flow.write_text(json.dumps({"format": 1, "nodes": {"w": {"type": "slow.write"}}, "outputs": {"x": "w.x"}}))
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import slowpack\n"
        "from inlay.graph_runtime.front.cli import main\n"
        "from inlay.graph_runtime.front.installed import installed_nodes\n"
        "installed_nodes().add_module(slowpack)\nsys.exit(main.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "run", str(flow), "--out", str(tmp_path / "o")],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job is born ignoring it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cancelled" in errors
    assert "Traceback" not in errors
    assert list((tmp_path / "o").iterdir()) == []
