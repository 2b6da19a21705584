"""The model of a node's settings, which validates them and gives their JSON Schema."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

Fields = Mapping[str, Any]  # Any: pydantic's create_model asks for it


def params_model(node_id: str, fields: Fields) -> type[BaseModel]:
    """The model, from the annotation and the default of each setting (`...` where it has none)."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=(), defer_build=True)
    model: type[BaseModel] = create_model(params_name(node_id), __config__=config, **fields)
    return model


def params_name(node_id: str) -> str:
    """The name of the model."""
    return "".join(part.capitalize() for part in re.split(r"[._]", node_id)) + "Params"
