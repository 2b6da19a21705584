"""The node reference, generated from the definitions: `docs/nodes.md`, the host's help pages, `inlay nodes ID`.

The index of the definitions (`nodes/index.jsonl`) is written with it.

`python -m inlay.graph_runtime.front.docs` writes the files; a test fails if they differ from the code.
"""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ....nodes import load_pack
from ....nodes.pack import PACK
from ...core.expander import Expander
from ...core.spec import NodeSpec, Registry
from ..comfy.node_names import display_name, host_id
from ..node_settings import Setting, number, settings_of
from .node_index import node_index

Row = tuple[str, ...]


def listing(registry: Registry) -> list[dict[str, object]]:
    """Id, version, family and summary of every node, in the order of the reference."""
    return [
        {"id": spec.id, "version": spec.version, "family": spec.family, "summary": spec.summary}
        for spec in ordered(registry)
    ]


def ordered(registry: Registry) -> list[NodeSpec]:
    """Nodes by family, in the order of the pack, then by id."""
    rank = {family: number for number, family in enumerate(PACK.families)}
    return sorted(registry.values(), key=lambda spec: (rank.get(spec.family, len(rank)), spec.id))


def describe(spec: NodeSpec) -> dict[str, object]:
    """Everything about a node, ready for JSON; `schema` is the JSON Schema of its settings."""
    return {
        "id": spec.id,
        "version": spec.version,
        "family": spec.family,
        "summary": spec.summary,
        "description": spec.docs.description,
        "errors": spec.docs.errors,
        "host": {"id": host_id(spec.id), "display_name": display_name(spec.id)},
        "effects": spec.effects,
        "sockets": [
            {
                "name": socket.name,
                "type": socket.port.socket,
                "optional": socket.optional,
                "doc": socket.doc,
            }
            for socket in spec.sockets.values()
        ],
        "settings": [_setting(setting) for setting in settings_of(spec)],
        "outputs": [
            {"name": name, "type": port.socket, "doc": port.doc}
            | ({"better": spec.better[name]} if name in spec.better else {})
            for name, port in spec.outputs.items()
        ],
        "schema": spec.schema,
    }


def _setting(setting: Setting) -> dict[str, object]:
    found: dict[str, object] = {"name": setting.name, "type": setting.type, "required": setting.required}
    if not setting.required:
        found["default"] = json.loads(json.dumps(setting.default, default=str))
    bounds = {"minimum": setting.minimum, "maximum": setting.maximum, "above": setting.above, "below": setting.below}
    found |= {name: value for name, value in bounds.items() if value is not None}
    if setting.choices:
        found["choices"] = list(setting.choices)
    if setting.path:
        found["path"] = setting.path
    return found | {"doc": setting.doc}


# rows, shared by Markdown and the terminal; numbered names (image_1 … image_16) are one row


def _socket_rows(spec: NodeSpec) -> list[Row]:
    rows = [
        (
            socket.name,
            socket.port.socket,
            "optional" if socket.optional else "",
            socket.doc,
        )
        for socket in spec.sockets.values()
    ]
    return _folded(spec, rows, lambda required: f"first {required} required" if required else "optional")


def _setting_rows(spec: NodeSpec) -> list[Row]:
    rows = [
        (
            setting.name,
            setting.type,
            "required" if setting.required else shown_default(setting.default),
            setting.bounds,
            setting.doc,
        )
        for setting in settings_of(spec)
    ]
    return _folded(spec, rows, lambda required: f"first {required} required" if required else '""')


def _output_rows(spec: NodeSpec) -> list[Row]:
    return [
        (name, port.socket, f"{port.doc}; {way} is better" if (way := spec.better.get(name)) else port.doc)
        for name, port in spec.outputs.items()
    ]


def shown_default(value: object) -> str:
    """A default as a workflow file writes it."""
    if isinstance(value, float):
        return number(value) if value == 0 or abs(value) >= 1e-3 else f"{value:g}"
    return json.dumps(value, ensure_ascii=False, default=str)


def _folded(spec: NodeSpec, rows: Sequence[Row], note: Callable[[int], str]) -> list[Row]:
    names = {name: repeat for repeat in spec.repeats.values() for name in repeat.names()}
    folded: list[Row] = []
    for row in rows:
        repeat = names.get(row[0])
        if repeat is None:
            folded.append(row)
        elif row[0] == repeat.names()[0]:
            last = repeat.names()[-1]
            folded.append((f"{row[0]} … {last}", row[1], note(repeat.required), *row[3:]))
    return folded


# Markdown


def reference(registry: Registry) -> str:
    """`docs/nodes.md`: every node with its sockets, settings and outputs."""
    specs = ordered(registry)
    parts = [
        "# Nodes\n\nGenerated from the definitions by `python -m inlay.graph_runtime.front.docs`; do not edit.\n\n"
        "A mask's 1 (white) means repaint. Sockets connect when their types are equal; `IMAGE` and `MASK` are\n"
        "those of ComfyUI. A setting is written under `params` in a workflow file, a socket under `inputs`.\n"
    ]
    parts.append(
        "\n".join(
            f"- **{family}**: "
            + ", ".join(f"[`{spec.id}`](#{_anchor(spec.id)})" for spec in specs if spec.family == family)
            for family in dict.fromkeys(spec.family for spec in specs)
        )
        + "\n"
    )
    family = ""
    for spec in specs:
        if spec.family != family:
            family = spec.family
            parts.append(f"## {family}\n")
        parts.append(f"### `{spec.id}`\n\n{_markdown_body(spec)}")
    return "\n".join(parts)


def help_page(spec: NodeSpec) -> str:
    """The page that the host shows for a node."""
    return f"# {display_name(spec.id)}\n\n{_markdown_body(spec)}"


def expander_page(name: str, expander: Expander) -> str:
    """The page that the host shows for the node of a name that stands for many workflows."""
    rows: list[Row] = [
        (option.name, option.socket or option.kind, option.group, option.doc) for option in expander.options
    ]
    table = _table(("Input", "Type", "About", "What it is"), rows)
    more = f"`{host_id(name)}` in ComfyUI; `inlay {name}` on the command line, to the same pixels."
    return f"# {display_name(name)}\n\n{expander.title}.\n\n{expander.description}\n\n{table}\n\n{more}\n"


def _anchor(node_id: str) -> str:
    return node_id.replace(".", "")


def _markdown_body(spec: NodeSpec) -> str:
    parts = [spec.summary, spec.docs.description]
    parts.append(_table(("Socket", "Type", "", "What it is"), _socket_rows(spec)))
    parts.append(_table(("Setting", "Type", "Default", "Range", "What it does"), _setting_rows(spec)))
    parts.append(_table(("Output", "Type", "What it is"), _output_rows(spec)))
    if errors := spec.docs.errors:
        parts.append("Errors: " + " ".join(errors.split()))
    facts = f"`{spec.id}` version {spec.version}; in ComfyUI `{host_id(spec.id)}`."
    parts.append(facts + (" Writes files, so it always runs." if spec.effects else ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Row, rows: list[Row]) -> str:
    if not rows:
        return ""
    keep = [column for column in range(len(head)) if any(row[column] for row in rows)]
    lines = ["| " + " | ".join(head[column] for column in keep) + " |", "|" + "---|" * len(keep)]
    lines += [
        "| "
        + " | ".join(_cell(row[column], code=column < 1 or head[column] in ("Type", "Default")) for column in keep)
        + " |"
        for row in rows
    ]
    return "\n".join(lines)


def _cell(text: str, code: bool) -> str:
    plain = " ".join(text.split()).replace("|", "\\|")
    return f"`{plain}`" if code and plain and not plain.startswith(("first ", "required")) else plain


# the terminal


def render_text(spec: NodeSpec, width: int = 100) -> str:
    """A node as text for the terminal."""
    parts = [f"{spec.id}  (version {spec.version}; in ComfyUI: {display_name(spec.id)})", _wrapped(spec.summary, width)]
    if more := spec.docs.description:
        parts.append(
            "\n".join(
                _wrapped(paragraph, width) if "\n " not in paragraph else paragraph for paragraph in more.split("\n\n")
            )
        )
    for title, rows in (
        ("sockets", _socket_rows(spec)),
        ("settings", _setting_rows(spec)),
        ("outputs", _output_rows(spec)),
    ):
        if rows:
            parts.append(f"{title}\n" + "\n".join(_columns(rows, width)))
    if errors := spec.docs.errors:
        parts.append(_wrapped("errors: " + " ".join(errors.split()), width))
    return "\n\n".join(parts)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(" ".join(text.split()), width)


def _columns(rows: list[Row], width: int) -> Iterator[str]:
    """All columns but the last aligned; the last, the description, on its own line below if it does not fit."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        left = "  " + "  ".join(f"{cell:{size}}" for cell, size in zip(row, widths, strict=False) if size)
        if len(left) + 2 + len(row[-1]) <= width:
            yield f"{left}  {row[-1]}".rstrip()
        else:
            yield left.rstrip()
            yield textwrap.fill(row[-1], width, initial_indent=" " * 6, subsequent_indent=" " * 6)


# files


def generate(registry: Registry) -> dict[str, str]:
    """Path below the repository root → text, for every generated file."""
    pages = {f"web/docs/{host_id(spec.id)}.md": help_page(spec) for spec in ordered(registry)}
    names = {f"web/docs/{host_id(name)}.md": expander_page(name, one) for name, one in PACK.expanders.items()}
    return {"docs/nodes.md": reference(registry)} | pages | names


def stale(root: Path, files: Mapping[str, str]) -> Iterable[Path]:
    """Help pages of nodes that no longer exist."""
    return [
        path
        for path in sorted((root / "web" / "docs").glob("Inlay*.md"))
        if path.relative_to(root).as_posix() not in files
    ]


def main() -> None:
    """Write the generated files into the source tree."""
    root = Path(__file__).resolve().parents[3]
    registry = load_pack()
    files = {**generate(registry), "nodes/index.jsonl": node_index(registry)}
    for path in stale(root, files):
        path.unlink()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(files)} files")
