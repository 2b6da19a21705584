"""Checks of a single node: its name, type, version, settings and files."""

import re
from collections.abc import Callable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..bounded import limits
from ..context import safe_prefix
from ..definition.migrations import migrate_node
from ..errors import BadInput, shorten
from ..spec import NodeSpec, PathRole
from ..workflow import NAME, Override
from .draft import Draft

NodeCheck = Callable[[Draft, str], bool]  # (draft, node): False if further checks of the node make no sense


def name_is_plain(draft: Draft, name: str) -> bool:
    """A node's name consists of letters, digits and _, because links contain it."""
    if not NAME.fullmatch(name):
        draft.found.add(None, "nodes", f"a node called {shorten(name)}", "letters, digits and _", "rename the node")
    return True


def type_is_known(draft: Draft, name: str) -> bool:
    """The node's type is installed."""
    kind = draft.workflow.nodes[name].type
    spec = draft.registry.get(kind)
    if spec is not None:
        draft.specs[name] = spec
        return True
    if package := draft.workflow.packages.get(kind):
        draft.found.add(
            name,
            None,
            f"the node type {shorten(kind)} of the package {shorten(package)}, which is not installed here",
            "the packages that this workflow was made with",
            f"pip install {shorten(package.replace(' ', '==')).strip(chr(39))}"
            if re.fullmatch(r"[\w.-]+", package.split()[0])
            else "install the package that provides it",
        )
    else:
        draft.found.add(
            name,
            None,
            f"an unknown node type {shorten(kind)}",
            "a type from `inlay nodes`",
            draft.found.suggest(kind, draft.registry) + " Or install the package that provides this node.",
        )
    return False


def version_is_not_newer(draft: Draft, name: str) -> bool:
    """The node's version is not newer than the installed one."""
    version, spec = draft.workflow.nodes[name].version, draft.specs[name]
    if version > spec.version:
        draft.found.add(
            name,
            "version",
            f"version {version} of {spec.id}",
            f"version {spec.version} or older",
            "this file was made by a newer inlay: update inlay",
        )
    return True


def older_version_migrates(draft: Draft, name: str) -> bool:
    """A node of an older version can be migrated to the installed one."""
    entry, spec = draft.workflow.nodes[name], draft.specs[name]
    migrate_node(draft.workflow, name, entry, spec)
    if entry.version < spec.version:
        draft.found.add(
            name,
            "version",
            f"version {entry.version} of {spec.id}",
            f"version {spec.version}",
            f"this node changed and has no migration: see `inlay nodes {spec.id}`",
        )
    return True


def settings_are_valid(draft: Draft, name: str) -> bool:
    """Every setting is known, given if required, and of the right type and range."""
    spec = draft.specs[name]
    try:
        model = spec.params.__pydantic_validator__.validate_python(draft.workflow.nodes[name].params, strict=True)
    except ValidationError as error:
        if error.error_count() > limits.PROBLEMS:
            draft.found.add(name, None, f"{error.error_count():,} wrong settings", "settings of its type", "mend them")
            return False
        for details in _with_words(error.errors(include_url=False)):
            _add_setting_problem(draft, name, details)
        return False
    draft.settings[name] = vars(model).copy()
    return True


def wrong_value(spec: NodeSpec, setting: str, value: object) -> str | None:
    """What a setting takes instead of a value, in words; None if it takes the value."""
    try:
        spec.params.model_validate({setting: value}, strict=True)
    except ValidationError as error:
        for details in _with_words(error.errors(include_url=False)):
            if details["loc"][:1] == (setting,):
                return details["msg"].removeprefix("Input should be ").lower()
    return None


def _with_words(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors, where a number that may also be a word has one for both: `a multiple of 8, or 'model'`."""
    words = {each["loc"][0]: each for each in errors if each["type"] == "literal_error" and len(each["loc"]) > 1}
    found: dict[int | str, ErrorDetails] = {}
    rest = []
    for each in errors:
        place = each["loc"][0] if each["loc"] else ""
        if place not in words:
            rest.append(each)
        elif each is not words[place]:
            found[place] = {**each, "msg": f"{each['msg']}, or {words[place]['msg'].removeprefix('Input should be ')}"}
    return [*rest, *(found.get(place, word) for place, word in words.items())]


def _add_setting_problem(draft: Draft, name: str, details: ErrorDetails) -> None:
    spec = draft.specs[name]
    setting = str(details["loc"][0]) if details["loc"] else None
    if details["type"] == "extra_forbidden":
        draft.found.add(
            name,
            setting,
            f"an unknown setting {shorten(setting)}",
            f"a setting of {spec.id}",
            'this is a socket: connect it under "inputs"'
            if setting in spec.sockets
            else draft.found.suggest(setting or "", spec.params.model_fields),
        )
    elif details["type"] == "missing":
        draft.found.add(
            name,
            setting,
            "nothing",
            f"a value for {setting!r}",
            f'add "{setting}" to the node\'s params' + draft.flag_hint(name, setting),
        )
    else:
        draft.found.add(
            name,
            setting,
            shorten(details["input"]),
            details["msg"].removeprefix("Input should be ").lower(),
            f"change {setting!r} (see `inlay nodes {spec.id}`)" + draft.flag_hint(name, setting),
        )


def files_can_be_read(draft: Draft, name: str) -> bool:
    """Every file that a setting names exists, may be read, and is of the right kind."""
    settings = draft.settings[name]
    digests: list[str] | None = []
    for parameter, role in draft.specs[name].path_roles.items():
        value = settings[parameter]
        if not _few_enough(draft, (name, parameter), value):
            return False
        if isinstance(value, str):
            settings[parameter], found = _open(draft, (name, parameter), value, role)
        elif isinstance(value, list):
            opened = [_open(draft, (name, parameter), item, role) for item in value]
            draft.files.pop((name, parameter), None)  # a record names one file for each setting
            settings[parameter] = [path for path, _ in opened]
            known = [digest for _, digest in opened if digest is not None]
            found = f"list:{' '.join(known)}" if len(known) == len(value) else None
        else:
            continue
        digests = None if found is None or digests is None else [*digests, found]
    draft.digests[name] = digests
    return True


def _few_enough(draft: Draft, at: Override, value: object) -> bool:
    """True unless the settings so far name more files than a workflow may."""
    before = draft.paths
    draft.paths += len(value) if isinstance(value, list) else 1
    if before <= limits.PATHS < draft.paths:
        fix = "name a folder, or a glob such as photos/*.png"
        draft.found.add(*at, f"more than {limits.PATHS:,} files", "fewer in one workflow", fix)
    return draft.paths <= limits.PATHS


def _open(draft: Draft, at: Override, value: str, role: PathRole) -> tuple[str, str | None]:
    """The path to open and the digest of its contents (None: written during the run)."""
    try:
        path, digest = draft.reader.look(value, role, trusted=at in draft.trusted)
    except BadInput as error:
        draft.found.add(*at, error.found, error.expected, error.fix + draft.flag_hint(*at))
        return value, ""
    if path is None:
        return value, ""
    if digest is not None:
        size = str(path.stat().st_size) if path.is_file() else ""
        draft.files[at] = {"name": path.name, "digest": digest, "path": str(path), "kind": role.kind, "size": size}
    return str(path), digest


def prefix_stays_inside(draft: Draft, name: str) -> bool:
    """A node saves only below the output folder."""
    prefix = draft.settings[name].get("prefix")
    if draft.specs[name].effects and isinstance(prefix, str) and not safe_prefix(prefix):
        draft.found.add(
            name,
            "prefix",
            shorten(prefix),
            "a name below the output folder",
            "use a plain name such as 'image' or 'tests/image'",
        )
    return True


NODE_CHECKS: tuple[NodeCheck, ...] = (
    name_is_plain,
    type_is_known,
    version_is_not_newer,
    older_version_migrates,
    settings_are_valid,
    files_can_be_read,
    prefix_stays_inside,
)
