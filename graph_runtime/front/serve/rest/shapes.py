"""The JSON of requests and answers, from which the OpenAPI description is made."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "done", "failed", "cancelled"]
Anything = Any  # JSON, which other parts check


class RunBody(BaseModel):
    """What is to be run."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"workflow": "inpaint"}]})

    workflow: str | dict[str, Anything] = Field(
        description="the name of a shipped workflow; a workflow as JSON (native, or of ComfyUI: API or UI); or a "
        'picture that carries one, as {"upload": id} or {"result": "run/number"}'
    )
    values: dict[str, Anything] = Field(
        default_factory=dict,
        description='of the workflow\'s inputs, by name; a file is {"upload": id} or {"result": "run/number"}',
    )
    settings: dict[str, Anything] = Field(default_factory=dict, description="node.parameter → value, for the rest")
    client: str | None = Field(
        default=None, max_length=64, description="who asks; runs of one client are made one after the other, in order"
    )
    title: str = Field(default="", max_length=200, description="instead of the workflow's own")
    id: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z_-]{8,64}$",
        description="of the run; sending it twice makes one run, so a request whose answer was lost can be repeated",
    )
    partial: bool = Field(default=False, description="of a graph with unknown nodes, run the rest")


class ProblemShape(BaseModel):
    """One thing that is wrong."""

    node: str | None
    port: str | None
    found: str
    expected: str
    fix: str
    text: str = ""


class WarningShape(BaseModel):
    """Something worth knowing."""

    node: str | None
    message: str


class Problems(BaseModel):
    """Why a request was refused, or what a check found."""

    problems: list[ProblemShape]
    warnings: list[WarningShape] = []


class Progress(BaseModel):
    """Where a run is."""

    node: str
    step: int
    total: int
    note: str = ""


class ResultShape(BaseModel):
    """A file that a run made."""

    number: int
    name: str
    node: str
    output: str
    kind: Literal["image", "file", "folder"]
    media: str
    bytes: int
    width: int | None
    height: int | None
    url: str | None
    thumbnail: str | None


class RunShape(BaseModel):
    """A run."""

    id: str
    number: int
    client: str | None
    title: str
    state: State
    position: int | None = Field(description="how many runs wait before it, if it waits")
    created: float
    started: float | None
    ended: float | None
    seconds: float | None
    progress: Progress | None
    results: list[ResultShape]
    values: dict[str, Anything] = Field(description="outputs that are numbers, texts, or lists and records of them")
    problems: list[ProblemShape]
    warnings: list[WarningShape]
    memory: dict[str, Anything] = Field(
        description="budget, peak, decisions and what nodes took, in bytes; empty where nothing was decided or measured"
    )
    names: dict[str, str] = Field(description="from the nodes of ComfyUI's graph to ours")
    workflow: str = Field(description="where the native workflow is")


class Runs(BaseModel):
    """A page of the history."""

    runs: list[RunShape]
    next: int | None = Field(description="`before` of the next page; null at the end")


class UploadShape(BaseModel):
    """A file that a client sent."""

    id: str
    name: str
    media: str
    bytes: int
    width: int
    height: int
    mode: str
    url: str
    thumbnail: str


class MaskShape(BaseModel):
    """The mask in an upload."""

    mask: str = Field(description="a PNG of one channel as data: 255 where it is repainted, 0 where it is kept")
    warnings: list[WarningShape]


class Choice(BaseModel):
    """An input of a workflow, or an option of an edit."""

    name: str
    kind: Literal["text", "integer", "number", "switch", "choice", "file", "files", "model", "other"]
    doc: str
    group: str
    default: Anything
    choices: list[Anything]
    minimum: float | None
    maximum: float | None
    required: bool


class WorkflowShape(BaseModel):
    """A shipped workflow."""

    name: str
    title: str
    description: str
    inputs: list[Choice]
    groups: list[str]
    workflow: str


class Workflows(BaseModel):
    """All shipped workflows, without their inputs."""

    workflows: list[dict[str, str]]


class Nodes(BaseModel):
    """All nodes."""

    nodes: list[dict[str, Anything]]


class Models(BaseModel):
    """The models on this machine."""

    models: list[dict[str, Anything]]


class Status(BaseModel):
    """How the server is."""

    version: str
    began: float
    queue: dict[str, int]
    workers: list[dict[str, Anything]]
    limits: dict[str, float | None]
    editor: bool
