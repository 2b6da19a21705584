"""The reference says what the code says: every node, socket, setting and output, and nothing that is no more."""

import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest
from inlay.graph_runtime import Context, Port, ReadPath, Registry, Repeat, node
from inlay.graph_runtime.front.comfy.node_names import host_id
from inlay.graph_runtime.front.docs import reference as reference_module
from inlay.graph_runtime.front.node_settings import settings_of
from inlay.nodes import load_pack
from pydantic import Field

ROOT = Path(__file__).resolve().parents[2]
Thing = Annotated[object, Port("TOY_THING", "anything at all")]


class Things(NamedTuple):
    thing: Thing


@node("docs_toy.all", version=3)
def everything(
    thing: Thing,
    others: Annotated[list[Thing], Port("TOY_THING", "more"), Repeat("other", 1, 3)],
    spare: Thing | None,
    path: ReadPath,
    ctx: Context,
    steps: Annotated[int, Field(ge=1, le=64)] = 3,
    rate: Annotated[float, Field(gt=0)] | None = 1e-5,
    mode: Literal["a|b", "c"] = "c",
    layers: list[int] = [],  # noqa: B006
) -> Things:
    """First sentence | of it.

    More of it
    in two lines (Somebody 2024, eq. 5).

        an indented example

    Args:
        thing: what is taken.
        others: each of them.
        steps: how many
            of them.

    Raises:
        BadInput: never.
    """
    return Things(ctx)


SPEC = everything.spec


def test_describe_is_json_and_complete():
    found = reference_module.describe(SPEC)
    assert json.loads(json.dumps(found)) == found
    assert found["summary"] == "First sentence | of it."
    assert found["description"] == "More of it\nin two lines (Somebody 2024, eq. 5).\n\n    an indented example"
    assert found["errors"] == "BadInput: never."
    assert found["version"] == 3
    assert [socket["name"] for socket in found["sockets"]] == ["thing", "other_1", "other_2", "other_3", "spare"]
    assert [socket["optional"] for socket in found["sockets"]] == [False, False, True, True, True]
    assert found["sockets"][0]["doc"] == "what is taken."
    assert found["sockets"][1]["doc"] == "each of them."
    assert found["sockets"][4]["doc"] == "anything at all"
    settings = {setting["name"]: setting for setting in found["settings"]}
    assert settings["path"] == {"name": "path", "type": "text", "required": True, "path": "file", "doc": ""}
    assert settings["steps"] == {
        "name": "steps",
        "type": "integer",
        "required": False,
        "default": 3,
        "minimum": 1,
        "maximum": 64,
        "doc": "how many of them.",
    }
    assert settings["rate"]["type"] == "number or null"
    assert settings["rate"]["above"] == 0
    assert settings["mode"]["choices"] == ["a|b", "c"]
    assert settings["layers"]["type"] == "list of integer"
    assert found["outputs"] == [{"name": "thing", "type": "TOY_THING", "doc": "anything at all"}]
    assert found["schema"]["additionalProperties"] is False


def test_markdown_tables():
    page = reference_module.help_page(SPEC)
    assert page.startswith("# Docs toy all (inlay)\n\nFirst sentence | of it.\n\nMore of it")
    assert "| `thing` | `TOY_THING` |  | what is taken. |" in page
    assert "| `other_1 … other_3` | `TOY_THING` | first 1 required | each of them. |" in page
    assert "| `steps` | `integer` | `3` | 1 … 64 | how many of them. |" in page
    assert "| `rate` | `number or null` | `1e-05` | > 0 |" in page
    assert r"`a\|b \| c`" in page
    assert "Args:" not in page
    assert "Errors: BadInput: never." in page


def test_terminal_text_fits_and_is_complete():
    text = reference_module.render_text(SPEC, width=72)
    assert max(map(len, text.splitlines())) <= 72
    for word in ("docs_toy.all", "version 3", "First sentence", "sockets", "settings", "outputs", "1 … 64", "> 0"):
        assert word in text


def test_listing_has_the_order_of_the_work():
    found = [entry["id"] for entry in reference_module.listing(load_pack())]
    assert found.index("image.load") < found.index("mask.load") < found.index("model.stable_diffusion")
    assert len(found) == len(load_pack())


def test_the_generated_files_are_up_to_date():
    files = reference_module.generate(load_pack())
    wrong = [
        name
        for name, text in files.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    wrong += [str(path) for path in reference_module.stale(ROOT, files)]
    assert not wrong, f"run `python -m inlay.graph_runtime.front.docs` and commit: {wrong}"


@pytest.mark.parametrize("spec", reference_module.ordered(load_pack()), ids=lambda spec: spec.id)
def test_every_node_says_what_it_takes_and_gives(spec):
    """A line for every socket and setting, and a summary of one sentence; these are what users read."""
    assert spec.summary.endswith(".")
    assert len(spec.summary) <= 160, spec.summary
    said = set(spec.docs.parameters)
    for parameter, repeat in spec.repeats.items():
        said |= set(repeat.names()) if {parameter, repeat.name} & said else set()
    silent = [name for name in [*spec.sockets, *spec.params.model_fields] if name not in said]
    assert not silent, f"no `Args:` line for {silent}"
    reference = reference_module.help_page(spec)
    repeated = {name for repeat in spec.repeats.values() for name in repeat.names()[1:-1]}
    for name in {*spec.sockets, *(setting.name for setting in settings_of(spec)), *spec.outputs} - repeated:
        assert name in reference
    strange = set(spec.docs.parameters) - set(spec.sockets) - set(spec.params.model_fields) - set(spec.repeats)
    assert strange <= {spec.context}, f"`Args:` names what is not there: {strange}"


def test_a_setting_that_is_new_appears_by_itself():
    pages = reference_module.generate(Registry([SPEC]))
    assert set(pages) == {"docs/nodes.md", f"web/docs/{host_id('docs_toy.all')}.md", "web/docs/InlayInpaint.md"}
    assert "### `docs_toy.all`" in pages["docs/nodes.md"]
    assert "[`docs_toy.all`](#docs_toyall)" in pages["docs/nodes.md"]
