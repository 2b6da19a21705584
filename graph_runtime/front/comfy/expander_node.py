"""A name that stands for many workflows, such as `inpaint`, as one node of the host.

Its options are widgets, those that name pictures are sockets. The plain workflow that they stand for runs inside, as on
the command line and to the same pixels, but for the nodes that save: the host has its own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ...core.errors import BadInput
from ...core.expander import Expander, Option
from ...core.spec import PathRole
from .expander_options import setting_of
from .host.paths import resolve_path
from .host.running import show_text
from .host_values import from_host
from .input_types import InputTypes, Widget, from_widget, widget
from .node_names import display_name, host_id, search_words
from .node_run import host_run

if TYPE_CHECKING:
    from torch import Tensor

_MODEL = PathRole("model")


class ExpanderNode:
    """Base of the generated classes, which differ only in what makes their workflows."""

    name: ClassVar[str]
    expander: ClassVar[Expander]
    FUNCTION = "execute"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The results, one picture for each variation",)
    OUTPUT_NODE = False

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        """The first option is required; all others have a default."""
        groups: InputTypes = {"required": {}, "optional": {}}
        for option in cls.expander.options:
            group = "optional" if groups["required"] else "required"
            tip: Widget = (option.socket, {"tooltip": option.doc})
            groups[group][option.name] = tip if option.socket else widget(setting_of(option))
        return groups

    def execute(self, **inputs: object) -> object:
        """Run the workflow once for each picture of the batch.

        Raises:
            NodeError: with the name of the widget or of the step, what was found, expected, and how to fix it.
        """
        import torch

        from .expander_run import filled

        with host_run(display_name(self.name), self.name, {}) as run:
            taken = {option: inputs.pop(option.name, None) for option in self._wired()}
            wired = {option.name: from_host(option.name, option.socket, value) for option, value in taken.items()}
            given = self._given(inputs)
            batch = max((len(value) for value in wired.values() if isinstance(value, torch.Tensor)), default=1)
            rows = [self._row(wired, number, batch) for number in range(batch)]
            pictures = [filled(self.name, self.expander, run, given | row) for row in rows]
        result = (torch.cat(pictures).float().cpu(),)
        text = "\n".join(dict.fromkeys(run.heard.said))
        show_text(text)
        return {"ui": {"text": [text]}, "result": result} if text else result

    @classmethod
    def _wired(cls) -> list[Option]:
        return [option for option in cls.expander.options if option.socket]

    @classmethod
    def _given(cls, inputs: Mapping[str, object]) -> dict[str, object]:
        """The options that differ from their defaults, from the values of the widgets."""
        found: dict[str, object] = {}
        for option in cls.expander.options:
            value = from_widget(setting_of(option), inputs[option.name]) if option.name in inputs else None
            if value is None or value == option.default:
                continue
            path = option.kind == "model" and isinstance(value, str)
            found[option.name] = resolve_path(option.name, str(value), _MODEL) if path else value
        return found

    @classmethod
    def _row(cls, wired: Mapping[str, object], number: int, batch: int) -> dict[str, object]:
        """The pictures of one run; one picture serves the whole batch.

        Raises:
            BadInput: the sizes of the batches do not agree, or a mask marks nothing because its picture has none.
        """
        import torch

        row: dict[str, object] = {}
        for option in cls._wired():
            value = wired[option.name]
            if not isinstance(value, torch.Tensor):
                continue
            if len(value) not in (1, batch):
                raise BadInput(
                    option.name,
                    found=f"{len(value)} in a batch of {batch}",
                    expected=f"one, or {batch}",
                    fix="connect batches of one size",
                )
            row[option.name] = value[number if len(value) == batch else 0]
        for option in cls._wired():
            mask = row.get(option.name)
            if option.socket == "MASK" and isinstance(mask, torch.Tensor):
                _require_painted(option.name, mask, row)
        return row


def _require_painted(name: str, mask: "Tensor", row: Mapping[str, object]) -> None:
    """Refuse the mask that the host's loader gives for a picture without one: nothing, in another size."""
    sizes = [tuple(value.shape[:2]) for other, value in row.items() if other != name and hasattr(value, "shape")]
    if sizes and tuple(mask.shape) != sizes[0] and not mask.any():
        raise BadInput(
            name,
            found=f"an empty mask of {mask.shape[1]}×{mask.shape[0]} pixels: this picture has no mask",
            expected="a mask of the picture's size, 1 where it is filled",
            fix="paint one in the mask editor of the node that loads the picture, or connect another mask",
        )


def expander_class(name: str, expander: Expander) -> type[ExpanderNode]:
    """The host's class for one such name."""
    attributes: dict[str, object] = {
        "name": name,
        "expander": expander,
        "__doc__": expander.title,
        "__module__": __name__,
        "CATEGORY": "inlay",
        "DESCRIPTION": f"{expander.title}. {expander.description}",
        "SEARCH_ALIASES": search_words(name),
    }
    return type(host_id(name), (ExpanderNode,), attributes)
