"""Runs of a job in several processes."""

from collections.abc import Iterator

from ...core.context import Context
from .job import Job
from .outcome import Outcome
from .session import How


def pooled(job: Job, how: How, jobs: int, ctx: Context) -> Iterator[tuple[int, Outcome]]:
    """todo"""
    raise NotImplementedError
