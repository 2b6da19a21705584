"""The layout of a drawn graph: layers from left to right, few crossings, edges as straight as possible.

Layered drawing after Sugiyama, Tagawa and Toda (1981): rank, order by barycentres, then place. An edge that spans
several layers gets a lane of its own in each, so it never runs under a box; edges from one output share their lanes.
Placing a layer is a least-squares problem with a fixed order, solved exactly by pooling adjacent violators.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from ...core.errors import WorkflowError

GAP_X, GAP_Y, LANE_GAP, LANE_HEIGHT = 54.0, 22.0, 8.0, 8.0
MOST_LANES = 60_000  # squares of the layers that edges span
SWEEPS, PASSES, SMALL, STRAIGHT = 16, 60, 160, 12.0

Point = tuple[float, float]


@dataclass
class Item:
    """Something with a size and sockets; offsets of the sockets are measured from its top.

    `side` is its place in a wider column: `left`, `right`, or `fill`, which makes it as wide as the column.
    """

    width: float
    height: float
    inputs: Mapping[str, float] = field(default_factory=dict)
    outputs: Mapping[str, float] = field(default_factory=dict)
    side: str = "fill"
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Edge:
    """From an output to an input."""

    source: str
    output: str
    target: str
    input: str


@dataclass(frozen=True)
class _Segment:
    """A piece of one or several edges between neighbouring layers."""

    left: str
    output: str
    right: str
    input: str


@dataclass
class GraphLayout:
    """The size of the drawing and, for each edge, the points on its way; the items hold their own places."""

    width: float
    height: float
    routes: dict[Edge, list[Point]]
    backward: set[Edge]


def arrange(items: dict[str, Item], edges: Sequence[Edge]) -> GraphLayout:
    """Set the `x`, `y` and width of every item, and route every edge. In a cycle, the last edge runs backwards.

    Raises:
        WorkflowError: so many edges span so many layers that placing them takes minutes.
    """
    ranks = _ranks(items, edges)
    forward = [edge for edge in edges if ranks[edge.target] > ranks[edge.source]]
    everything = dict(items)
    _require_drawable(ranks, forward)
    chains, segments = _lanes(everything, ranks, forward)
    layers = _ordered(_layers(everything, ranks), segments, everything)
    width = _place_x(layers, everything)
    height = _place_y(layers, segments, everything)
    routes = {edge: _route(edge, chains, everything, ranks) for edge in edges}
    return GraphLayout(width, height, routes, set(edges) - set(forward))


def _ranks(items: Mapping[str, Item], edges: Sequence[Edge]) -> dict[str, int]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(items)
    graph.add_edges_from((edge.source, edge.target) for edge in edges if edge.source != edge.target)
    graph.remove_edges_from(_closing(graph))
    ranks = {name: rank for rank, layer in enumerate(nx.topological_generations(graph)) for name in layer}
    for name in reversed(list(nx.topological_sort(graph))):  # stand close to the readers where that shortens edges
        after = [ranks[other] for other in graph.successors(name)]
        if after and graph.in_degree(name) < graph.out_degree(name):
            ranks[name] = min(after) - 1
    return ranks


def _require_drawable(ranks: Mapping[str, int], edges: Iterable[Edge]) -> None:
    spans: dict[tuple[str, str], int] = defaultdict(int)
    for edge in edges:
        span = ranks[edge.target] - ranks[edge.source] - 1
        spans[edge.source, edge.output] = max(span, spans[edge.source, edge.output])
    if sum(span**2 for span in spans.values()) > MOST_LANES:  # each lane looks at all others of its edge
        raise WorkflowError.of(
            "nodes",
            found="links across too many layers of nodes",
            expected="a workflow that fits a drawing",
            fix="draw a part of it",
        )


def _closing(graph: "nx.DiGraph[str]") -> list[tuple[str, str]]:
    """The edges that close a cycle: those back to a node that the search is still behind."""
    way: set[str] = set()
    found = []
    for source, target, kind in nx.dfs_labeled_edges(graph):
        if kind == "forward":
            way.add(target)
        elif kind == "reverse":
            way.discard(target)
        elif target in way:
            found.append((source, target))
    return found


def _lanes(
    items: dict[str, Item],
    ranks: dict[str, int],
    edges: Iterable[Edge],
) -> tuple[dict[tuple[str, str], list[str]], list[_Segment]]:
    by_output: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in edges:
        by_output[edge.source, edge.output].append(edge)
    chains: dict[tuple[str, str], list[str]] = {}
    segments: list[_Segment] = []
    for (source, output), group in by_output.items():
        first, last = ranks[source], max(ranks[edge.target] for edge in group)
        chain = [f"\0{source}\0{output}\0{rank}" for rank in range(first + 1, last)]
        for rank, lane in enumerate(chain, first + 1):
            items[lane] = Item(0, LANE_HEIGHT, {"": LANE_HEIGHT / 2}, {"": LANE_HEIGHT / 2})
            ranks[lane] = rank
        steps = [(source, output), *((lane, "") for lane in chain)]
        segments += [_Segment(*left, right, "") for left, (right, _) in pairwise(steps)]
        segments += [_Segment(*steps[ranks[edge.target] - first - 1], edge.target, edge.input) for edge in group]
        chains[source, output] = chain
    return chains, segments


def _layers(items: Mapping[str, Item], ranks: Mapping[str, int]) -> list[list[str]]:
    layers: dict[int, list[str]] = defaultdict(list)
    for name in items:
        layers[ranks[name]].append(name)
    return [layers[rank] for rank in sorted(layers)]


# order within the layers


def _ordered(layers: list[list[str]], segments: list[_Segment], items: Mapping[str, Item]) -> list[list[str]]:
    before, after = _neighbours(segments)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, segments, items)
    small = len(segments) <= SMALL
    for sweep in range(SWEEPS if small else 4):
        rightward = sweep % 2 == 0
        for layer in layers if rightward else reversed(layers):
            _sort_layer(layer, layers, before if rightward else after, items, rightward)
        if small:
            _swap_neighbours(layers, segments, items)
        count = _crossings(layers, segments, items)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
        if not fewest:
            break
    return best


def _neighbours(segments: Iterable[_Segment]) -> tuple[dict[str, list[_Segment]], dict[str, list[_Segment]]]:
    before: dict[str, list[_Segment]] = defaultdict(list)
    after: dict[str, list[_Segment]] = defaultdict(list)
    for segment in segments:
        before[segment.right].append(segment)
        after[segment.left].append(segment)
    return before, after


def _heights(layers: Iterable[list[str]]) -> dict[str, float]:
    return {name: float(place) for layer in layers for place, name in enumerate(layer)}


def _share(item: Item, offset: float) -> float:
    return offset / max(item.height, 1.0)


def _sort_layer(
    layer: list[str],
    layers: list[list[str]],
    near: Mapping[str, list[_Segment]],
    items: Mapping[str, Item],
    rightward: bool,
) -> None:
    places = _heights(layers)

    def barycentre(name: str) -> float:
        found = near.get(name, [])
        if not found:
            return places[name]
        if rightward:
            ends = [places[s.left] + _share(items[s.left], items[s.left].outputs[s.output]) for s in found]
        else:
            ends = [places[s.right] + _share(items[s.right], items[s.right].inputs[s.input]) for s in found]
        return sum(ends) / len(ends)

    layer.sort(key=barycentre)


def _crossings(layers: list[list[str]], segments: list[_Segment], items: Mapping[str, Item]) -> int:
    places = _heights(layers)
    rank = {name: number for number, layer in enumerate(layers) for name in layer}
    by_rank: dict[int, list[Point]] = defaultdict(list)
    for s in segments:
        by_rank[rank[s.left]].append(
            (
                places[s.left] + 0.9 * _share(items[s.left], items[s.left].outputs[s.output]),
                places[s.right] + 0.9 * _share(items[s.right], items[s.right].inputs[s.input]),
            )
        )
    if len(segments) > 20 * SMALL:
        return 0
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for pairs in by_rank.values()
        for i, a in enumerate(pairs)
        for b in pairs[i + 1 :]
    )


def _swap_neighbours(layers: list[list[str]], segments: list[_Segment], items: Mapping[str, Item]) -> None:
    fewest = _crossings(layers, segments, items)
    for layer in layers:
        for place in range(len(layer) - 1):
            layer[place], layer[place + 1] = layer[place + 1], layer[place]
            count = _crossings(layers, segments, items)
            if count < fewest:
                fewest = count
            else:
                layer[place], layer[place + 1] = layer[place + 1], layer[place]


# coordinates


def _place_x(layers: list[list[str]], items: Mapping[str, Item]) -> float:
    x = 0.0
    for layer in layers:
        width = max(items[name].width for name in layer)
        for name in layer:
            item = items[name]
            item.x = x + (width - item.width if item.side == "right" else 0.0)
            item.width = width if item.side == "fill" else item.width
        x += width + GAP_X
    return x - GAP_X if layers else 0.0


def _place_y(layers: list[list[str]], segments: list[_Segment], items: Mapping[str, Item]) -> float:
    before, after = _neighbours(segments)
    lanes: dict[str, list[str]] = defaultdict(list)
    for name in items:
        if name.startswith("\0"):
            lanes[_line(name)].append(name)
    for layer in layers:
        _settle(layer, dict.fromkeys(layer, 0.0), dict.fromkeys(layer, 1.0), items)
    for turn in range(PASSES):
        for layer in layers if turn % 2 == 0 else reversed(layers):
            wishes, weights = {}, {}
            for name in layer:
                pulls = _pulls(name, before[name], after[name], items, turn)
                if name.startswith("\0"):
                    line = lanes[_line(name)]
                    pulls = [(sum(items[lane].y for lane in line) / len(line), STRAIGHT)] + [
                        pull for lane in line for pull in _pulls(lane, before[lane], after[lane], items, turn)
                    ]
                total = sum(weight for _, weight in pulls)
                wishes[name] = sum(place * weight for place, weight in pulls) / total if total else items[name].y
                weights[name] = total or 0.05
            _settle(layer, wishes, weights, items)
    top = min((item.y for item in items.values()), default=0.0)
    for item in items.values():
        item.y -= top
    return max((item.y + item.height for item in items.values()), default=0.0)


def _line(lane: str) -> str:
    return lane.rpartition("\0")[0]


def _pulls(
    name: str, before: list[_Segment], after: list[_Segment], items: Mapping[str, Item], turn: int
) -> list[tuple[float, float]]:
    """For each edge of an item, the `y` at which the edge would be horizontal, and its weight."""
    own = items[name]
    lane = name.startswith("\0")
    left = [
        (items[s.left].y + items[s.left].outputs[s.output] - own.inputs[s.input], 1.0)
        for s in before
        if not (lane and s.left.startswith("\0"))
    ]
    right = [
        (items[s.right].y + items[s.right].inputs[s.input] - own.outputs[s.output], 1.0)
        for s in after
        if not (lane and s.right.startswith("\0"))
    ]
    if turn >= PASSES // 3 or lane:
        return left + right
    return (left or right) if turn % 2 == 0 else (right or left)


def _settle(
    layer: list[str], wishes: Mapping[str, float], weights: Mapping[str, float], items: Mapping[str, Item]
) -> None:
    """Places nearest to the desired ones (weighted squares), in order and at a distance: pool adjacent violators."""
    offsets, total = [], 0.0
    for place, name in enumerate(layer):
        if place:
            lanes = layer[place - 1].startswith("\0") + name.startswith("\0")
            total += items[layer[place - 1]].height + (GAP_Y, (GAP_Y + LANE_GAP) / 2, LANE_GAP)[lanes]
        offsets.append(total)
    blocks: list[list[float]] = []  # mean, weight, length
    for name, offset in zip(layer, offsets, strict=True):
        blocks.append([wishes[name] - offset, weights[name], 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, length = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += length
    means = [block[0] for block in blocks for _ in range(int(block[2]))]
    for name, mean, offset in zip(layer, means, offsets, strict=True):
        items[name].y = mean + offset


def _route(
    edge: Edge, chains: Mapping[tuple[str, str], list[str]], items: Mapping[str, Item], ranks: Mapping[str, int]
) -> list[Point]:
    source, target = items[edge.source], items[edge.target]
    points = [(source.x + source.width, source.y + source.outputs[edge.output])]
    for lane in chains.get((edge.source, edge.output), []):
        if ranks[edge.source] < ranks[lane] < ranks[edge.target]:
            item = items[lane]
            points += [(item.x, item.y + LANE_HEIGHT / 2), (item.x + item.width, item.y + LANE_HEIGHT / 2)]
    return [*points, (target.x, target.y + target.inputs[edge.input])]
