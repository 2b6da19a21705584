"""Attention in which rows of a batch use the queries, keys or values of other rows.

To use the map of another row in softmax(Q Kᵀ/√d) V, take that row's Q and K with one's own V. So no map is
materialised: the rows are gathered, and `scaled_dot_product_attention` does the rest. Only prompt-to-prompt, which
replaces single columns of the map, computes a map of queries × tokens: of as many heads at once as `MAP_BYTES` hold.
Each head's product is the same whatever stands beside it, so the bits are those of all heads at once; and the number
goes by shapes alone, so they do not depend on what memory is free.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import F, Tensor, nn, torch
from ...graph_runtime.core.processors import attentions, wrapped_processors
from ..sampling.schedule import DenoisingStep
from ..sampling.unet import UNetDescription, to_device
from .control import AttentionRun, RowGroup

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

AttentionKind = Literal["self", "cross"]
Layers = Literal["all", "down", "mid", "up"]
Processor = Callable[..., Tensor]
MAP_BYTES = 2**26  # of maps that are held at once, where attention has to hold maps


@dataclass(frozen=True)
class MapReplacement:
    """Columns of a cross-attention's map taken from another row's, token by token (Hertz et al. 2022).

    Attributes:
        source: the rows whose map is used.
        columns: for each token of the row's own text, the token of the source's text `[n]`.
        share: how much of the column is the source's, 1 or 0 `[n]`.
    """

    source: RowGroup
    columns: tuple[int, ...]
    share: tuple[float, ...]


@dataclass(frozen=True)
class AttentionSources:
    """For one kind of attention at one step: the other rows whose queries, keys and values a row uses.

    Attributes:
        query: row -> the row whose queries it uses.
        key: row -> the row whose keys it uses.
        value: row -> the row whose values it uses.
        maps: row -> columns of its map that come from another row.
        first_layer: first attention of this kind that it applies to, in the order of calling.
        largest: most queries at which it applies; None: any number.
        layers: the part of the UNet in which it applies.
    """

    query: Mapping[RowGroup, RowGroup] = field(default_factory=dict)
    key: Mapping[RowGroup, RowGroup] = field(default_factory=dict)
    value: Mapping[RowGroup, RowGroup] = field(default_factory=dict)
    maps: Mapping[RowGroup, MapReplacement] = field(default_factory=dict)
    first_layer: int = 0
    largest: int | None = None
    layers: Layers = "all"

    def applies(self, position: "LayerPosition", queries: int) -> bool:
        """True in a layer at this position with that many queries."""
        return (
            position.number >= self.first_layer
            and (self.largest is None or queries <= self.largest)
            and self.layers in ("all", position.block)
        )


@dataclass(frozen=True)
class LayerPosition:
    """Number of an attention among its kind, in the order of calling, and its part of the UNet: down, mid or up."""

    number: int
    block: str


@dataclass(frozen=True)
class RowSelection:
    """Which rows are projected `[m]`, and which of those each row of the batch uses `[b]`."""

    projected: Tensor
    used: Tensor


class GatheredRun(AttentionRun):
    """One run of a control: it sets for the processors of its own thread which rows use which, step by step."""

    def __init__(self) -> None:
        self._layout: Sequence[RowGroup] = ()
        self._sources: Mapping[AttentionKind, AttentionSources] = {}
        self._selections: dict[tuple[object, ...], RowSelection | None] = {}
        self._columns: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def plan(self, reverse_step: int) -> dict[AttentionKind, AttentionSources]:
        """Set whose queries, keys and values the rows use at a reverse step."""
        raise NotImplementedError

    def before_step(self, step: DenoisingStep, layout: Sequence[RowGroup]) -> None:
        """Store the rows of the next batch, and what they use."""
        self._layout = tuple(layout)
        self._sources = self.plan(step.reverse_step)

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        """Put processors on the UNet that follow this run, in this thread alone; always remove them."""
        require_controllable(unet)
        runs = unet.__dict__.setdefault("_inlay_runs", {})
        thread = threading.get_ident()
        positions = _positions(unet)
        with wrapped_processors(
            unet, "gather", lambda name, module, before: GatheredProcessor(before, positions[name], runs)
        ):
            runs[thread] = self
            try:
                yield
            finally:
                del runs[thread]
                if not runs:
                    unet.__dict__.pop("_inlay_runs", None)

    def sources(self, kind: AttentionKind, position: LayerPosition, queries: int) -> AttentionSources | None:
        """What rows use of other rows in one layer; None: nothing."""
        sources = self._sources.get(kind)
        return sources if sources is not None and sources.applies(position, queries) else None

    def selection(self, sources: Mapping[RowGroup, RowGroup], batch: int, device: torch.device) -> RowSelection | None:
        """The rows to project for all of `batch` rows; None if each uses its own."""
        if not any(row in self._layout for row in sources):
            return None
        key = (tuple(sources.items()), self._layout, batch, device)
        if key not in self._selections:
            each = batch // len(self._layout)
            groups = [self._layout.index(sources.get(row, row)) for row in self._layout]
            used = [group * each + i for group in groups for i in range(each)]
            projected = sorted(set(used))
            self._selections[key] = RowSelection(
                to_device(torch.tensor(projected), device),
                to_device(torch.tensor([projected.index(row) for row in used]), device),
            )
        return self._selections[key]

    def rows(self, group: RowGroup, batch: int) -> slice:
        """Where a group's rows are in the batch."""
        each = batch // len(self._layout)
        position = self._layout.index(group)
        return slice(position * each, (position + 1) * each)

    def columns(self, replacement: MapReplacement, like: Tensor) -> tuple[Tensor, Tensor]:
        """Columns and shares of a replacement `[n]` on the device; copied there once a run."""
        key = (replacement, like.device, like.dtype)
        if key not in self._columns:
            self._columns[key] = (
                to_device(torch.tensor(replacement.columns), like.device),
                to_device(torch.tensor(replacement.share), like.device, like.dtype),
            )
        return self._columns[key]

    def present(self, group: RowGroup) -> bool:
        """True while a group is in use."""
        return group in self._layout


class GatheredProcessor:
    """An attention processor whose rows may use the queries, keys or values of other rows.

    If they use their own, and in threads whose runs have no control, the earlier processor is called.

    Args:
        before: the earlier processor.
        position: of its attention.
        runs: the run of each thread.
    """

    def __init__(self, before: Processor, position: LayerPosition, runs: Mapping[int, GatheredRun]) -> None:
        self.before, self.position, self._runs = before, position, runs

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: object,
        **kwargs: object,
    ) -> Tensor:
        """`[b q d]` queries and `[b k d']` keys -> `[b q d]`."""
        run = self._runs.get(threading.get_ident())
        kind: AttentionKind = "self" if encoder_hidden_states is None else "cross"
        sources = None if run is None else run.sources(kind, self.position, hidden_states.shape[1])
        if run is None or sources is None:
            return self.before(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _projected(attn.to_q, attn.heads, hidden_states, run, sources.query)
        key = _projected(attn.to_k, attn.heads, context, run, sources.key)
        value = _projected(attn.to_v, attn.heads, context, run, sources.value)
        mixed = F.scaled_dot_product_attention(query, key, value)
        for group, replacement in sources.maps.items():
            if run.present(group) and run.present(replacement.source):
                own, other = run.rows(group, len(query)), run.rows(replacement.source, len(query))
                mixed[own] = _mixed(query, key, value, own, other, *run.columns(replacement, query))
        joined = mixed.transpose(1, 2).flatten(2)
        result: Tensor = attn.to_out[1](attn.to_out[0](joined))
        return result


class Projection(Protocol):
    """A linear layer, whatever its class."""

    def __call__(self, value: Tensor, /) -> Tensor:
        """`[b n d]` -> `[b n d']`."""


def _projected(
    layer: Projection, heads: int, states: Tensor, run: GatheredRun, sources: Mapping[RowGroup, RowGroup]
) -> Tensor:
    """Queries, keys or values of all rows `[b heads n d]`; rows that no row uses are never projected."""
    rows = run.selection(sources, len(states), states.device)
    value: Tensor = layer(states if rows is None else states.index_select(0, rows.projected))
    value = value.unflatten(-1, (heads, -1)).transpose(1, 2)
    return value if rows is None else value.index_select(0, rows.used)


def _mixed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    own: slice,
    other: slice,
    columns: Tensor,
    share: Tensor,
) -> Tensor:
    """The attention of the rows `own` with columns of the map of the rows `other`, `[b heads q d]`.

    Products of half-precision queries and keys may exceed float16 before they are divided (those of Stable Diffusion
    2.1 do), so maps are made in float32, as fused attention makes them.
    """
    rows, heads, queries, _ = query[own].shape
    each = rows * queries * key.shape[2] * torch.promote_types(query.dtype, torch.float32).itemsize
    at_once = max(1, MAP_BYTES // each)
    if heads <= at_once:
        return _mixed_heads(query, key, value, own, other, columns, share)
    result = torch.empty_like(query[own], dtype=value.dtype)
    for part in (slice(first, first + at_once) for first in range(0, heads, at_once)):
        some = query[:, part], key[:, part], value[:, part]
        result[:, part] = _mixed_heads(*some, own, other, columns, share)
    return result


def _mixed_heads(
    query: Tensor, key: Tensor, value: Tensor, own: slice, other: slice, columns: Tensor, share: Tensor
) -> Tensor:
    precise = torch.promote_types(query.dtype, torch.float32)

    def weights(rows: slice) -> Tensor:
        product = query[rows].to(precise) @ key[rows].to(precise).transpose(-1, -2)
        return torch.softmax(product / query.shape[-1] ** 0.5, dim=-1)

    maps = weights(other)[..., columns] * share + weights(own) * (1 - share)
    return (maps @ value[own].to(precise)).to(value.dtype)


def _positions(unet: nn.Module) -> dict[str, LayerPosition]:
    counts = {True: 0, False: 0}
    positions = {}
    for name, _ in attentions(unet):
        cross = name.endswith("attn2")
        positions[name] = LayerPosition(counts[cross], name.partition("_")[0])
        counts[cross] += 1
    return positions


def self_attentions(unet: nn.Module) -> int:
    """The number of self-attentions in a UNet."""
    return sum(not name.endswith("attn2") for name, _ in attentions(unet))


def require_controllable(unet: nn.Module) -> None:
    """Raise BadInput unless every attention of a UNet is plain, as in Stable Diffusion 1.x and 2.x."""
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


def require_known_blocks(denoiser: UNetDescription) -> None:
    """Raise BadInput, from the configuration alone, if a UNet has attentions of another form; see above."""
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
