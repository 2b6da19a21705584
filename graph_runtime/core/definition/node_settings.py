"""Settings of a node as one model, for nodes that have many or share some with others."""

import inspect
import typing
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue

from .docstrings import parse_docstring


class NodeSettings(BaseModel):
    """The settings of a node. A parameter annotated with a subclass stands for its fields: each is a setting.

    Attributes:
        ORDER: the fields in the order in which a graph shows them, because hosts store settings by position. Empty:
            in order of definition, base classes first.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=(), frozen=True)
    ORDER: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The settings, in order.

        Raises:
            TypeError: ORDER does not name each field once.
        """
        fields = tuple(cls.model_fields)
        if cls.ORDER and sorted(cls.ORDER) != sorted(fields):
            differ = sorted(set(cls.ORDER).symmetric_difference(fields)) or "a field twice"
            raise TypeError(f"{cls.__name__}.ORDER does not name each field once: {differ}")
        return cls.ORDER or fields

    @classmethod
    def parameters(cls) -> dict[str, tuple[object, object]]:
        """Annotation and default of each setting, in order, as parameters of a function have them."""
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = cls.model_fields
        return {
            name: (hints[name], ... if fields[name].is_required() else fields[name].default) for name in cls.names()
        }

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """The line of each setting in the docstring of the class, or else of its base class."""
        bases = [base for base in reversed(cls.__mro__) if issubclass(base, NodeSettings) and base is not NodeSettings]
        docs = [parse_docstring(inspect.cleandoc(base.__doc__ or "")) for base in bases]
        return {name: line for doc in docs for name, line in doc.parameters.items()}

    def values(self) -> dict[str, JsonValue]:
        """The settings by name, in order."""
        return {name: getattr(self, name) for name in self.names()}
