"""Attention controls: rows of a batch that compute with queries, keys or values of other rows.

An attention softmax(Q Kᵀ/√d) V whose map is another row's is the attention with that row's Q and K and one's own V. So
nothing is materialised: the rows are gathered, and `scaled_dot_product_attention` does the rest. Prompt-to-prompt mixes
columns of the map, which is the one case where a map of n × tokens is written out.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...graph_runtime import BadInput
from ...graph_runtime.core.processors import attentions, layered
from ..sampling.schedule import Move
from ..sampling.unet import to_device
from .control import AttentionRun

Row = tuple[str, str]  # (chain, half)
Kind = Literal["self", "cross"]
Layers = Literal["all", "down", "mid", "up"]


@dataclass(frozen=True)
class Mixing:
    """Columns of a cross-attention's map taken from another row's, token by token (Hertz et al. 2022).

    Attributes:
        row: whose map.
        columns: for each token of one's own text, the token of the other text `[n]`.
        share: how much of the column is the other's, 1 or 0 `[n]`.
    """

    row: Row
    columns: tuple[int, ...]
    share: tuple[float, ...]


@dataclass(frozen=True)
class Borrowing:
    """For one kind of attention at one step: whose queries, keys and values a row computes with, where not its own."""

    query: Mapping[Row, Row] = field(default_factory=dict)
    key: Mapping[Row, Row] = field(default_factory=dict)
    value: Mapping[Row, Row] = field(default_factory=dict)
    mixing: Mapping[Row, Mixing] = field(default_factory=dict)
    first_layer: int = 0  # among the attentions of this kind, in the order they are called
    largest: int | None = None  # most queries at which it applies
    layers: Layers = "all"

    def applies(self, place: "Place", queries: int) -> bool:
        """True where this layer is one of those meant."""
        return (
            place.number >= self.first_layer
            and (self.largest is None or queries <= self.largest)
            and self.layers in ("all", place.block)
        )


@dataclass(frozen=True)
class Place:
    """Where an attention stands: its number among its kind in the order of calling, and its part of the UNet."""

    number: int
    block: str


@dataclass(frozen=True)
class Rows:
    """Which rows are projected, and which of those each row takes."""

    needed: Tensor
    taken: Tensor


class GatheredRun(AttentionRun):
    """One run of a control that borrows: knows the step, and answers the processors of its own thread."""

    def __init__(self) -> None:
        self._layout: Sequence[Row] = ()
        self._plans: dict[Kind, Borrowing] = {}
        self._rows: dict[tuple[Any, ...], Rows | None] = {}
        self._columns: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def plan(self, step: int) -> dict[Kind, Borrowing]:
        """What is borrowed at a reverse step."""
        raise NotImplementedError

    def before_step(self, move: Move, layout: Sequence[Row]) -> None:
        """Remember the rows of the batch that comes next, and what they borrow."""
        self._layout = tuple(layout)
        self._plans = self.plan(move.step)

    @contextmanager
    def installed(self, denoiser: Any) -> Iterator[None]:
        """Put processors on the UNet that ask this run, in this thread alone; and take them off whatever happens."""
        require_controllable(denoiser)
        runs = denoiser.__dict__.setdefault("_inlay_runs", {})
        thread = threading.get_ident()
        places = _places(denoiser)
        with layered(denoiser, "gather", lambda name, module, before: GatheredProcessor(before, places[name], runs)):
            runs[thread] = self
            try:
                yield
            finally:
                del runs[thread]
                if not runs:
                    denoiser.__dict__.pop("_inlay_runs", None)

    def borrowing(self, kind: Kind, place: Place, queries: int) -> Borrowing | None:
        """What rows borrow in one layer, or None: nothing."""
        plan = self._plans.get(kind)
        return plan if plan is not None and plan.applies(place, queries) else None

    def rows(self, taken: Mapping[Row, Row], batch: int, device: torch.device) -> Rows | None:
        """The rows to project for all of `batch` rows, or None where each takes its own."""
        if not any(row in self._layout for row in taken):
            return None
        key = (tuple(taken.items()), self._layout, batch, device)
        if key not in self._rows:
            each = batch // len(self._layout)
            groups = [self._layout.index(taken.get(row, row)) for row in self._layout]
            source = [group * each + i for group in groups for i in range(each)]
            needed = sorted(set(source))
            self._rows[key] = Rows(
                to_device(torch.tensor(needed), device),
                to_device(torch.tensor([needed.index(row) for row in source]), device),
            )
        return self._rows[key]

    def group(self, row: Row, batch: int) -> slice:
        """Where a group's rows stand in the batch."""
        each = batch // len(self._layout)
        position = self._layout.index(row)
        return slice(position * each, (position + 1) * each)

    def columns(self, mixing: Mixing, like: Tensor) -> tuple[Tensor, Tensor]:
        """Columns and shares of a mixing on the device; copied there once a run."""
        key = (mixing, like.device, like.dtype)
        if key not in self._columns:
            self._columns[key] = (
                to_device(torch.tensor(mixing.columns), like.device),
                to_device(torch.tensor(mixing.share), like.device, like.dtype),
            )
        return self._columns[key]

    def present(self, row: Row) -> bool:
        """True while a group takes part."""
        return row in self._layout


class GatheredProcessor:
    """An attention processor whose rows may compute with other rows' queries, keys and values.

    Where nothing is borrowed, and in threads whose runs have no control, the processor that was there does the work.
    """

    def __init__(self, before: Any, place: Place, runs: Mapping[int, GatheredRun]):
        self.before, self.place, self._runs = before, place, runs

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """`[b q d]` queries and `[b k d']` keys -> `[b q d]`."""
        run = self._runs.get(threading.get_ident())
        kind: Kind = "self" if encoder_hidden_states is None else "cross"
        borrowed = None if run is None else run.borrowing(kind, self.place, hidden_states.shape[1])
        if run is None or borrowed is None:
            output: Tensor = self.before(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
            return output
        told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _projected(attn, "to_q", hidden_states, run, borrowed.query)
        key = _projected(attn, "to_k", told, run, borrowed.key)
        value = _projected(attn, "to_v", told, run, borrowed.value)
        mixed = F.scaled_dot_product_attention(query, key, value)
        for row, mixing in borrowed.mixing.items():
            if run.present(row) and run.present(mixing.row):
                own, other = run.group(row, len(query)), run.group(mixing.row, len(query))
                mixed[own] = _mixed(query, key, value, own, other, *run.columns(mixing, query))
        joined = mixed.transpose(1, 2).flatten(2)
        result: Tensor = attn.to_out[1](attn.to_out[0](joined))
        return result


def _projected(attn: Any, name: str, source: Tensor, run: GatheredRun, taken: Mapping[Row, Row]) -> Tensor:
    """Queries, keys or values of all rows `[b heads n d]`; rows that nobody takes are never projected."""
    rows = run.rows(taken, len(source), source.device)
    value = getattr(attn, name)(source if rows is None else source.index_select(0, rows.needed))
    value = value.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return value if rows is None else value.index_select(0, rows.taken)


def _mixed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    own: slice,
    other: slice,
    columns: Tensor,
    share: Tensor,
) -> Tensor:
    """The attention of the rows `own` with columns of the map of the rows `other`.

    Products of half-precision queries and keys may exceed float16 before they are divided (those of Stable Diffusion
    2.1 do), so maps are made in float32, as fused attention makes them.
    """
    precise = torch.promote_types(query.dtype, torch.float32)

    def weights(rows: slice) -> Tensor:
        product = query[rows].to(precise) @ key[rows].to(precise).transpose(-1, -2)
        return torch.softmax(product / query.shape[-1] ** 0.5, dim=-1)

    maps = weights(other)[..., columns] * share + weights(own) * (1 - share)
    return (maps @ value[own].to(precise)).to(value.dtype)


def _places(unet: Any) -> dict[str, Place]:
    counts = {True: 0, False: 0}
    places = {}
    for name, _ in attentions(unet):
        cross = name.endswith("attn2")
        places[name] = Place(counts[cross], name.partition("_")[0])
        counts[cross] += 1
    return places


def self_attentions(unet: Any) -> int:
    """How many self-attentions a UNet has."""
    return sum(not name.endswith("attn2") for name, _ in attentions(unet))


def require_controllable(unet: Any) -> None:
    """Raise BadInput unless every attention of a UNet is a plain one, as those of Stable Diffusion 1.x and 2.x are."""
    found = attentions(unet)
    odd = [
        name
        for name, module in found
        if module.residual_connection
        or module.rescale_output_factor != 1
        or module.norm_cross is not None
        or module.spatial_norm is not None
        or module.group_norm is not None
        or module.norm_q is not None
        or module.added_kv_proj_dim is not None
    ]
    if not found or odd:
        raise BadInput(
            "denoiser",
            found=f"a UNet with an attention of another form ({odd[0]})" if odd else "a UNet without attention",
            expected="the plain self- and cross-attentions of Stable Diffusion 1.x or 2.x",
            fix="remove the attention control, or use one of these models",
        )


#: The blocks that Stable Diffusion 1.x and 2.x are built of.
BLOCKS = (
    "CrossAttnDownBlock2D",
    "DownBlock2D",
    "UNetMidBlock2DCrossAttn",
    "UNetMidBlock2D",
    "CrossAttnUpBlock2D",
    "UpBlock2D",
)


def require_known_blocks(denoiser: Any) -> None:
    """Raise BadInput, from the configuration alone, where a UNet has attentions of another form; see above."""
    config = getattr(denoiser, "config", {})
    named = [*config.get("down_block_types", ()), config.get("mid_block_type") or "", *config.get("up_block_types", ())]
    odd = [name for name in named if name and name not in BLOCKS]
    odd += [
        f"{key} = {config[key]!r}"
        for key in ("cross_attention_norm", "attention_type")
        if config.get(key) not in (None, "default")
    ]
    if odd:
        raise BadInput(
            "denoiser",
            found=f"the {denoiser.label}, which has {odd[0]}",
            expected="the plain self- and cross-attentions of Stable Diffusion 1.x or 2.x",
            fix="remove the attention control, or use one of these models",
        )
