"""From what a person asks for to axes: names are those of the workflow, and values are of the setting's own type."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from ...core.check.nodes import wrong_value
from ...core.definition.migrations import current_name
from ...core.errors import Problem, WorkflowError, did_you_mean, shorten
from ...core.expander import Option
from ...core.spec import NodeSpec
from ..node_settings import settings_of
from ..python.load_workflow import LoadedWorkflow
from ..text_values import reader
from .axes import Part, Value, ValueAxis, Values
from .numbers import NoSpread, Spread, spread
from .words import WrongList, lines_of, split

CHECKED = 1_000  # numbers of one spread whose type and bounds are looked at one by one, besides its ends
SHOWN = 5  # wrong values of one flag that are listed
GRID = "NAME=a,b,c or NAME=0..9, where NAME is an input of the workflow or NODE.SETTING"


@dataclass(frozen=True)
class Asked:
    """What one flag asks for.

    Attributes:
        flag: `--grid`, `--list`.
        name: of an input, or `node.setting`.
        values: as a person writes them, or the values themselves.
        lines: `values` is the path of a file with a value a line.
    """

    flag: str
    name: str
    values: str | Sequence[Value] | range
    lines: bool = False

    @property
    def shown(self) -> str:
        """The flag with its name, for messages."""
        return f"{self.flag} {self.name}"


def parted(flag: str, word: str) -> Asked:
    """What `NAME=VALUES` asks for.

    Raises:
        WorkflowError: the word does not have that form.
    """
    name, equals, values = word.partition("=")
    if not equals or not name.strip():
        raise WorkflowError.of(
            flag,
            found=shorten(word),
            expected=GRID if flag == "--grid" else "NAME=FILE",
            fix="for example --grid seed=0..9" if flag == "--grid" else "for example --list prompt=words.txt",
        )
    return Asked(flag, name.strip(), values.strip(), lines=flag == "--list")


@dataclass(frozen=True)
class _Target:
    """What an axis sets, and what its values must be."""

    name: str
    targets: tuple[str, ...]
    is_input: bool
    spec: NodeSpec | None = None
    setting: str = ""
    option: Option | None = None

    @property
    def numeric(self) -> bool:
        if self.option is not None:
            return self.option.kind in ("integer", "number")
        found = [one for one in settings_of(self.spec) if one.name == self.setting] if self.spec is not None else []
        return any("integer" in one.type or "number" in one.type for one in found)

    @property
    def is_path(self) -> bool:
        if self.option is not None:
            return self.option.kind in ("file", "model")
        return self.spec is not None and self.setting in self.spec.path_roles

    def wrong(self, value: Value) -> str | None:
        """What was expected in place of a value; None if it fits."""
        if isinstance(value, float) and not math.isfinite(value):
            return "a finite number"
        if self.option is not None:
            return _wrong_option(self.option, value)
        return wrong_value(self.spec, self.setting, value) if self.spec is not None else None


def axes_of(
    loaded: LoadedWorkflow, asked: Iterable[Asked], taken: Mapping[str, str], problems: list[Problem]
) -> tuple[list[ValueAxis], list[str]]:
    """The axes that flags ask for, in their order, and what to tell about them.

    Args:
        loaded: the workflow, with the values that all runs share.
        asked: by the flags.
        taken: what else sets a `node.setting` or an input: the flag that does.
        problems: what is wrong is added here.
    """
    axes: list[ValueAxis] = []
    notes: list[str] = []
    taken = dict(taken)
    for one in asked:
        target = _target(loaded, one, problems)
        if target is None:
            continue
        if twice := next((taken[name] for name in (target.name, *target.targets) if name in taken), None):
            problems.append(
                Problem(None, one.shown, f"a second flag beside {twice}", "one flag for each setting", "keep one")
            )
            continue
        taken |= dict.fromkeys((target.name, *target.targets), one.shown)
        values = _values(one, target, problems, notes)
        if values is not None:
            axes.append(ValueAxis(target.name, one.shown, target.targets, values, target.is_input, target.is_path))
    return axes, notes


def _target(loaded: LoadedWorkflow, one: Asked, problems: list[Problem]) -> _Target | None:
    name = loaded.aliases.get(one.name, one.name)
    workflow = loaded.workflow
    if loaded.expander is not None:
        options = {option.name: option for option in loaded.expander.options}
        if (option := options.get(name.replace("-", "_"))) is not None:
            return _Target(option.name, (), True, option=option)
    elif (given := next((known for known in (name, name.replace("-", "_")) if known in workflow.inputs), None)) and (
        targets := workflow.targets(given)
    ):
        spec, setting = _of(loaded, targets[0])
        return _Target(given, tuple(targets), True, spec, setting)
    node, dot, _ = name.partition(".")
    if dot and node in workflow.nodes:
        spec, setting = _of(loaded, name)
        if spec is not None and setting in spec.params.model_fields:
            return _Target(f"{node}.{setting}", (f"{node}.{setting}",), False, spec, setting)
    inputs = [option.name for option in loaded.expander.options] if loaded.expander else [*workflow.inputs]
    settings = list(_settings(loaded))
    fix = did_you_mean(name, inputs if not dot else [*inputs, *settings])
    what = f"the inputs {', '.join(inputs)}; or NODE.SETTING" if inputs else "NODE.SETTING"
    problems.append(Problem(None, one.shown, f"no input or setting {shorten(one.name)} of this workflow", what, fix))
    return None


def _of(loaded: LoadedWorkflow, target: str) -> tuple[NodeSpec | None, str]:
    node, _, name = target.partition(".")
    entry = loaded.workflow.nodes.get(node)
    spec = loaded.registry.get(entry.type) if entry is not None else None
    return spec, current_name(spec, name)


def _settings(loaded: LoadedWorkflow) -> Iterator[str]:
    for node, entry in loaded.workflow.nodes.items():
        spec = loaded.registry.get(entry.type)
        yield from (f"{node}.{setting}" for setting in (spec.params.model_fields if spec is not None else ()))


def _values(one: Asked, target: _Target, problems: list[Problem], notes: list[str]) -> Values | None:
    """The values of a flag; None, with a problem, if they cannot be."""
    read = reader((target.spec, target.setting)) if target.option is None else _reader(target.option)
    try:
        values = Values(tuple(_once(list(_parts(one, target, read)), one, notes)), read)
    except WrongList as error:
        problems.append(Problem(None, one.shown, error.found, error.expected, error.fix))
        return None
    except WorkflowError as error:
        problems.extend(error.problems)
        return None
    if not values.count:
        problems.append(Problem(None, one.shown, "no values", "at least one", f"write {one.flag} {GRID}"))
        return None
    wrong = [
        (value, expected)
        for number in values.telling(CHECKED)
        if (expected := target.wrong(value := values[number])) is not None
    ]
    for value, expected in wrong[:SHOWN]:
        more = (
            f" (and {len(wrong) - SHOWN:,} more values)" if len(wrong) > SHOWN and value is wrong[SHOWN - 1][0] else ""
        )
        fix = f"see `inlay nodes {target.spec.id}`" if target.spec is not None else f"leave {shorten(value)} out"
        problems.append(Problem(None, one.shown, shorten(value) + more, expected, fix))
    return None if wrong else values


def _parts(one: Asked, target: _Target, read: Callable[[str], Value]) -> Iterator[Part]:
    """Runs of evenly spaced numbers, and values that are written out."""
    if isinstance(one.values, range):
        if one.values:
            yield Spread(Decimal(one.values.start), Decimal(one.values.step), len(one.values))
        return
    if not isinstance(one.values, str):
        yield tuple(one.values)
        return
    if one.lines:
        yield tuple(map(read, lines_of(one.values, one.shown)))
        return
    if not one.values:
        return
    for text, quoted in split(one.values):
        if target.numeric and not quoted and ".." in text:
            try:
                numbers = spread(text)
            except NoSpread as error:
                raise WrongList(shorten(text), error.expected, error.fix) from None
            if numbers is None:
                raise WrongList(shorten(text), "numbers on both sides of the dots, as in 0..9", "write numbers")
            yield numbers
        else:
            yield (text if quoted and not target.numeric else read(text),)


def _once(parts: Sequence[Part], one: Asked, notes: list[str]) -> Iterator[Part]:
    """The parts, without values that are there twice.

    Raises:
        WrongList: two runs of numbers have some in common.
    """
    spreads = [part for part in parts if isinstance(part, Spread)]
    for number, each in enumerate(spreads):
        if any(each.overlaps(other) for other in spreads[:number]):
            raise WrongList("two ranges with numbers in common", "each number once", "write one range")
    seen: set[str] = set()
    repeated = 0
    for part in parts:
        if isinstance(part, Spread):
            yield part
            continue
        kept = []
        for value in part:
            key = json.dumps(value, sort_keys=True, default=repr)
            if key in seen or any(_exact(value) in each for each in spreads):
                repeated += 1
            else:
                seen.add(key)
                kept.append(value)
        if kept:
            yield tuple(kept)
    if repeated:
        what = "1 value is" if repeated == 1 else f"{repeated:,} values are"
        notes.append(f"{one.shown}: {what} there twice, and made once")


def _exact(value: Value) -> Decimal | None:
    """A number in decimal; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Decimal(str(value))


def _wrong_option(option: Option, value: Value) -> str | None:
    """What an option of a named workflow takes instead of a value; None if it takes it."""
    if option.kind == "choice":
        return None if value in option.choices else " | ".join(option.choices)
    if option.kind == "switch":
        return None if value in (True, False, "true", "false", "yes", "no", "on", "off") else "true or false"
    if option.kind not in ("integer", "number"):
        return None if isinstance(value, str) else "text"
    number = _exact(value)
    whole = option.kind == "integer"
    low, high = option.minimum, option.maximum
    fits = number is not None and (low is None or number >= low) and (high is None or number <= high)
    if fits and number is not None and (not whole or number == int(number)):
        return None
    return ("a whole number" if whole else "a number") + (f" from {low:,g} to {high:,g}" if low is not None else "")


def _reader(option: Option) -> Callable[[str], Value]:
    """What makes values of words for an option: numbers and switches; of any other word, itself."""

    def read(text: str) -> Value:
        word = text.lower() if option.kind == "switch" else text
        with suppress(ValueError, RecursionError):
            value = json.loads(word)
            if isinstance(value, bool if option.kind == "switch" else int | float):
                return value
        return text

    return read if option.kind in ("integer", "number", "switch") else lambda text: text
