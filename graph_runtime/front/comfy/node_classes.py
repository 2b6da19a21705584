"""ComfyUI: every node of the pack as a class of its first API (V1), made from the one definition.

These classes hide three things from the nodes: the host runs them under `torch.inference_mode()` (weights made there
    cannot be differentiated), may pass a mask without its batch axis, and manages only the memory of models that it
    wraps itself.
"""

import inspect
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from ...core.errors import BadInput, Problem, did_you_mean, shorten
from ...core.file_digests import digest
from ...core.memory.descriptions import ModelDescription
from ...core.spec import NodeSpec, Registry
from ...core.user_paths import exists
from ..node_settings import Setting, settings_of
from .choices import Choices, compares_types_its_own_way, wrong_type
from .former_names import WithFormer, by_current_name, former_names
from .host.folders import input_pictures
from .host.models import kinds_of
from .host.paths import limits, resolve_path
from .host.running import metadata_allowed, show_text
from .host_values import from_host, require_masks, to_host
from .input_types import InputTypes, input_types, model_settings, settings_from_widgets, typed_name
from .model_widgets import chosen, list_models
from .node_memory import called
from .node_names import category, display_name, host_id, search_words
from .node_run import host_run
from .shown import result, saved_pictures, sheet_picture, text_of


def _metadata(prompt: object, extra: object) -> dict[str, str]:
    """The chunks that the host's own saver writes, unless it was started with `--disable-metadata`."""
    if not metadata_allowed():
        return {}
    chunks = {} if prompt is None else {"prompt": json.dumps(prompt)}
    more = extra if isinstance(extra, Mapping) else {}
    return chunks | {str(name): json.dumps(value) for name, value in more.items()}


# the classes


class HostNode:
    """Base of the generated classes, which differ only in their `spec`."""

    spec: ClassVar[NodeSpec]
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Mapping[str, object]]:
        """Sockets and widgets, made once for a class, and the list of files, made at each call."""
        groups = {group: dict(entries) for group, entries in _cached_types(cls.spec).items()}
        for setting in settings_of(cls.spec):
            if setting.path and (names := _pictures(cls.spec, setting)) is not None:
                group = "required" if setting.required else "optional"
                options = groups[group][setting.name][1]
                more = {"image_upload": True, "takes_text": True}
                groups[group][setting.name] = (Choices(names), {"tooltip": options["tooltip"], **more})
        list_models(cls.spec, groups)
        if former := former_names(cls.spec):
            groups["optional"] = WithFormer(groups["optional"], former)
        return {**groups, "hidden": _hidden(cls.spec)} if cls.spec.effects else {**groups}

    def execute(self, **inputs: object) -> object:
        """Check the values of the widgets, then run the node outside the host's inference mode.

        Raises:
            NodeError: with the node's display name, what was found, what was expected, and how to fix it.
        """
        spec = self.spec
        hidden = {kind: inputs.pop(name, None) for name, kind in _hidden(spec).items()}
        inputs = chosen(spec, by_current_name(spec, inputs))
        metadata = _metadata(hidden.get("PROMPT"), hidden.get("EXTRA_PNGINFO"))
        with host_run(display_name(spec.id), spec.id, metadata) as run:
            run.ctx.setting_of = lambda word: widget_of(hidden.get("PROMPT"), word)
            outputs = called(spec, _arguments(spec, inputs), run.ctx)
            models = [value for value in outputs if spec.static and isinstance(value, ModelDescription)]
            fetched = [model.fetch() for model in models]
            if any(fetched):
                run.notices.clear()  # the model is known now, and the second call says more
                outputs = called(spec, _arguments(spec, inputs), run.ctx)
        values = tuple(to_host(port.socket, value) for port, value in zip(spec.outputs.values(), outputs, strict=True))
        pictures = list(saved_pictures(run.ctx))
        if spec.effects and not pictures:
            pictures = list(sheet_picture(run.heard))
        if text := text_of(spec, outputs, run.heard):
            show_text(text)
        return result(spec, values, pictures, text)


def widget_of(prompt: object, word: str) -> object:
    """The value of a widget, from `title.widget`, `class.widget` or `number.widget`; None if there is none."""
    title, _, name = word.rpartition(".")
    for number, entry in prompt.items() if isinstance(prompt, Mapping) else ():
        called = (str(number), entry.get("class_type"), (entry.get("_meta") or {}).get("title"))
        value = entry.get("inputs", {}).get(name) if title in called else None
        if isinstance(value, (str, int, float)):
            return value
    return None


def _arguments(spec: NodeSpec, inputs: Mapping[str, object]) -> dict[str, object]:
    """All arguments of the function but the context, checked as in a workflow file.

    Raises:
        BadInput: an unknown name, a missing or wrong setting, an empty socket, another type, a wrong pairing.
    """
    for name in inputs:
        if name not in spec.sockets and name not in spec.params.model_fields:
            raise BadInput(
                name,
                found=f"an unknown input {name!r}",
                expected=f"an input of {spec.id}",
                fix=did_you_mean(name, [*spec.sockets, *spec.params.model_fields]),
            )
    wired = {
        name: from_host(name, spec.sockets[name].port.socket, value)
        for name, value in inputs.items()
        if name in spec.sockets and value is not None
    }
    require_masks({name: (spec.sockets[name].port.socket, value) for name, value in wired.items()})
    for name, socket in spec.sockets.items():
        if not socket.optional and name not in wired:
            raise BadInput(
                name,
                found="nothing connected",
                expected=f"{socket.port.socket}: {socket.port.doc}",
                fix="connect a node that outputs it",
            )
    settings = checked_settings(spec, inputs)
    spec.facts({name: wired.get(name) for name in spec.sockets}, settings)
    return settings | {name: wired.get(name) for name in spec.sockets}


def checked_settings(spec: NodeSpec, inputs: Mapping[str, object]) -> dict[str, object]:
    """The node's settings from its widgets, defaults filled in, paths resolved.

    Raises:
        BadInput: the first setting that is missing, wrong, or a path that may not be read.
    """
    try:
        model = spec.params.model_validate(settings_from_widgets(spec, inputs), strict=True)
    except ValidationError as error:
        item = error.errors()[0]
        name = str(item["loc"][0])
        found = "nothing" if item["type"] == "missing" else shorten(item["input"])
        raise BadInput(
            name,
            found=found,
            expected=item["msg"].removeprefix("Input should be ").lower(),
            fix=f"change {name!r} on the node",
        ) from None
    settings = {name: getattr(model, name) for name in spec.params.model_fields}
    for name, role in spec.path_roles.items():
        if isinstance(value := settings[name], str):
            settings[name] = resolve_path(name, value, role, kinds_of(spec.id))
        elif isinstance(value, list):
            settings[name] = [resolve_path(name, item, role, kinds_of(spec.id)) for item in value]
    return settings


@cache
def _cached_types(spec: NodeSpec) -> InputTypes:
    return input_types(spec)


def _pictures(spec: NodeSpec, setting: Setting) -> list[str] | None:
    """The files to choose from for a setting that names a picture; None for any other path."""
    first = next(iter(spec.outputs.values()), None)
    if setting.path not in ("file", "files") or first is None or first.socket not in ("IMAGE", "MASK"):
        return None
    return input_pictures(folders=setting.path == "files")


def _hidden(spec: NodeSpec) -> dict[str, str]:
    """The inputs through which the host passes its graph to nodes that save, named unlike any setting."""
    if not spec.effects:
        return {}
    taken = set(spec.sockets) | set(spec.params.model_fields)
    return {
        (f"host_{name}" if name in taken else name): kind
        for name, kind in (("prompt", "PROMPT"), ("extra_pnginfo", "EXTRA_PNGINFO"))
    }


def _path_hooks(spec: NodeSpec) -> dict[str, object]:
    """Hooks of nodes that read files: the host compares their content, and also accepts files outside its list."""

    def is_changed(cls: type[HostNode], /, **inputs: object) -> str | float:
        if any(one.name not in inputs for one in settings_of(spec) if one.path and one.required):
            return math.nan  # from a wire: which file it names is known when it runs
        seen, inputs = [], chosen(spec, inputs)
        for name, role in spec.path_roles.items():
            if not inputs.get(name):
                continue  # none, or the run reports it
            try:
                path = Path(resolve_path(name, str(inputs[name]), role, kinds_of(spec.id)))
                there = role.kind != "model" or exists(path)
                with limits():
                    seen.append(digest(path, weights=role.kind == "model") if there else str(path))
            except (BadInput, OSError) as error:
                seen.append(str(error))  # the run itself reports it
        return " ".join(seen)

    def validate(cls: type[HostNode], /, **paths: object) -> bool | str:
        received = paths.pop("input_types", None)
        if isinstance(received, Mapping):
            groups = cls.INPUT_TYPES()
            wanted = {name: one[0] for group in ("required", "optional") for name, one in groups[group].items()}  # type: ignore[index]
            if wrong := wrong_type(received, wanted):
                return wrong
        problems: list[Problem] = []
        for name, value in chosen(spec, paths).items():
            try:
                if isinstance(value, str) and value:
                    resolve_path(name, value, spec.path_roles[name], kinds_of(spec.id))
            except BadInput as error:
                problems.append(error.at(display_name(spec.id)))
        return "; ".join(str(problem) for problem in problems) or True

    typed = [*map(typed_name, model_settings(spec)), *(["input_types"] if compares_types_its_own_way() else [])]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD  # the host reads from the names which inputs are checked here
    validate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in ("cls", *spec.path_roles, *typed)]
    )
    return {"IS_CHANGED": classmethod(is_changed), "VALIDATE_INPUTS": classmethod(validate)}


def node_class(spec: NodeSpec) -> type[HostNode]:
    """The host's class for one node."""
    attributes: dict[str, object] = {
        "spec": spec,
        "__doc__": spec.summary,
        "__module__": __name__,
        "RETURN_TYPES": tuple(port.socket for port in spec.outputs.values()),
        "RETURN_NAMES": tuple(spec.outputs),
        "OUTPUT_TOOLTIPS": tuple(port.doc for port in spec.outputs.values()),
        "CATEGORY": category(spec.id),
        "OUTPUT_NODE": spec.effects,
        "DESCRIPTION": spec.summary,
        "SEARCH_ALIASES": search_words(spec.id),
    }
    if spec.path_roles:
        attributes |= _path_hooks(spec)
    return type(host_id(spec.id), (HostNode,), attributes)


def mappings(registry: Registry) -> tuple[dict[str, type[HostNode]], dict[str, str]]:
    """Classes and display names by the host's id."""
    return (
        {host_id(name): node_class(spec) for name, spec in registry.items()},
        {host_id(name): display_name(name) for name in registry},
    )
