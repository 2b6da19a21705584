"""A value of the host as a setting of ours."""

from ....core.spec import NodeSpec
from ...node_settings import settings_of
from ..input_types import from_widget

_FOLDERS = (" [input]", " [output]", " [temp]")


def setting_from_host(spec: NodeSpec, name: str, value: object) -> object:
    """The setting: null where a widget says none, numbers as the host reads them, paths as a file of ours has them."""
    setting = next((one for one in settings_of(spec) if one.name == name), None)
    if setting is None:
        return value
    found = from_widget(setting, value)
    if name in spec.path_roles:
        return plain_path(found)
    if setting.kind == "integer" and isinstance(found, float) and found.is_integer():
        return int(found)
    if setting.kind == "boolean" and found in (0, 1):
        return bool(found)
    if setting.kind == "text" and isinstance(found, (int, float)) and not isinstance(found, bool):
        return str(found)
    return found


def plain_path(value: object) -> object:
    """A path without the host's word for its folder: `clipspace/a.png [input]` is `clipspace/a.png`."""
    if not isinstance(value, str):
        return value
    for folder in _FOLDERS:
        value = value.removesuffix(folder)
    return value.replace("\\", "/")
