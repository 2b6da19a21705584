"""Reading the bodies of requests, within limits."""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from ....core.bounded.json_text import decode
from ....core.errors import Problem, WorkflowError, shorten

T = TypeVar("T", bound=BaseModel)


async def read_json(request: Request, shape: type[T], most: int) -> T:
    """The body as JSON of a shape.

    Raises:
        WorkflowError: too large, not JSON, beyond a limit, or of another shape.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise WorkflowError.of(
                "body", found=f"more than {most:,} bytes", expected=f"at most {most:,} bytes", fix="send less"
            )
        parts.append(part)
    raw = decode(b"".join(parts), "the body")
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        raise WorkflowError(
            Problem(
                None,
                ".".join(str(part) for part in one["loc"][:3]) or "body",
                shorten(one.get("input")),
                one["msg"],
                "see /v1/openapi.json",
            )
            for one in error.errors()
        ) from None
