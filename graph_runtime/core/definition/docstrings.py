"""Parse a node's docstring into the parts that the schema, the tooltips and the reference show."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DocParts:
    """A Google-style docstring.

    Attributes:
        summary: its first paragraph, on one line.
        description: the paragraphs between the summary and the sections.
        parameters: the `Args:` section, one line each.
        errors: the `Raises:` section, a line for each error.
    """

    summary: str = ""
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    errors: str = ""


def parse_docstring(text: str) -> DocParts:
    """Split the docstring of a node, as `inspect.getdoc` gives it."""
    from docstring_parser import DocstringStyle, parse

    parsed = parse(text, DocstringStyle.GOOGLE)
    return DocParts(
        _one_line(parsed.short_description),
        parsed.long_description or "",
        {entry.arg_name: _one_line(entry.description) for entry in parsed.params},
        "\n".join(f"{entry.type_name}: {_one_line(entry.description)}" for entry in parsed.raises),
    )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
