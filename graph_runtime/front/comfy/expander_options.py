"""The options of a name that stands for many workflows, as the settings of a node."""

from ...core.expander import Option
from ..node_settings import Kind, Setting

_KINDS: dict[str, Kind] = {"integer": "integer", "number": "number", "switch": "boolean", "choice": "choice"}


def setting_of(option: Option) -> Setting:
    """An option as the setting of a node; one without a default may be null."""
    return Setting(
        option.name,
        _KINDS.get(option.kind, "text"),
        default=option.default,
        nullable=option.default is None,
        minimum=option.minimum,
        maximum=option.maximum,
        choices=option.choices,
        doc=option.doc[:1].upper() + option.doc[1:],
    )
