"""Run what a class of the host stands for: outside its inference mode, below its folders, with its bar and button."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...core.context import Context
from ...core.current_run import models_in, running_in, searching
from ...core.errors import BadInput, NodeError
from ...core.notices import collect_notices
from ..kept_between_runs import disk_store
from .host.folders import host_folder, model_folders
from .host.memory import model_manager
from .host.models import own_folders
from .host.paths import limits
from .host.running import HostCancel, HostListener, log_one_line, logger, metadata_allowed
from .menu_words import problem_in_menu_words
from .shown import Heard


@dataclass
class HostRun:
    """One node at work in the host.

    Attributes:
        ctx: what the node gets.
        heard: what it said.
        notices: warnings of its check; those that are left at the end are said.
    """

    ctx: Context
    heard: Heard = field(default_factory=Heard)
    notices: list[str] = field(default_factory=list)


@contextmanager
def host_run(title: str, node_type: str, metadata: Mapping[str, str]) -> Iterator[HostRun]:
    """The block runs a node.

    Args:
        title: of the node, as the menu shows it.
        node_type: its id.
        metadata: text chunks that saved pictures carry.

    Raises:
        NodeError: with the title, what was found, what was expected, and how to fix it.
    """
    import torch

    heard = Heard()
    with torch.inference_mode(False), torch.no_grad():
        ctx = Context(
            model_manager(),
            out=host_folder("output") or "inlay-out",
            listeners=(HostListener(), heard),
            cancel=HostCancel(),
            metadata=dict(metadata),
            bare=not metadata_allowed(),
        )
        ctx.store = disk_store(ctx.device)
        ctx.node = title
        ctx.check_cancelled()
        failed: NodeError | None = None
        try:
            with (
                collect_notices() as said,
                running_in(ctx),
                limits(),
                searching(model_folders(), ()),
                models_in(own_folders(node_type)),
            ):
                yield HostRun(ctx, heard, said)
            for message in said:
                ctx.warn(message)
        except BadInput as error:
            failed = NodeError(problem_in_menu_words(error.at(title)), node_type)
            logger.debug("%s failed", title, exc_info=error)
        except NodeError as error:  # of a step of the node
            failed = error
            logger.debug("%s failed", title, exc_info=error)
    if failed is not None:
        log_one_line(str(failed), str(failed.problem))
        raise failed from None
