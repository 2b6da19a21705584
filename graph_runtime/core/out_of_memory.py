"""Running out of memory: how libraries report it, and one more try after the failed one is released.

An exception holds its traceback, a traceback the frames it came through, and those every tensor of the failed try. A
retry inside `except` therefore has less memory than the first try had. So: leave the `except` block first, let the
error and its chain go, then make room, then try again.
"""

import ctypes
import gc
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Messages of a RuntimeError when memory ran out, in lower case: torch's CPU allocator, CUDA and its libraries, MPS.
SIGNS = (
    "not enough memory",  # DefaultCPUAllocator: not enough memory: you tried to allocate …
    "can't allocate memory",
    "cannot allocate memory",  # the system's own words, when a file is mapped
    "out of memory",  # CUDA out of memory; CUDA error: out of memory; MPS backend out of memory; hipErrorOutOfMemory
    "cudaerrormemoryallocation",
    "cuda_error_out_of_memory",
    "cublas_status_alloc_failed",
    "cusolver_status_alloc_failed",
    "cusparse_status_alloc_failed",
    "cufft_alloc_failed",
    "cudnn_status_alloc_failed",
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, …_HOST_…
    "not enough workspace",
    "hipblas_status_alloc_failed",
    "miopenstatusallocfailed",
    "unable to find an engine to execute this computation",  # cuDNN, where no workspace is left
    "std::bad_alloc",
    "invalid buffer size",  # MPS: more than the largest buffer of Metal
)


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error, or one that caused it, means that memory ran out: in torch, its libraries or Python."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, MemoryError) or type(link).__name__ == "OutOfMemoryError":
            return True
        message = str(link).lower()
        if isinstance(link, (RuntimeError, OSError)) and any(sign in message for sign in SIGNS):
            return True
        seen.add(id(link))
        link = link.__cause__
    return False


def retried(work: Callable[[], T], make_room: Callable[[], object]) -> T:
    """Call `work`; if memory runs out, release the failed try, call `make_room`, and call `work` once more.

    Args:
        work: called once or twice.
        make_room: called in between, when the tensors of the failed try are released; a false result means that
            another try is useless.

    Raises:
        BaseException: what the last try raised.
    """
    failed: list[Exception] = []
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        failed.append(error)
    return retried_after(failed, work, make_room)


def retried_after(failed: list[Exception], work: Callable[[], T], make_room: Callable[[], object]) -> T:
    """The second half of `retried`, for who made the first try: raise its error, or make room and call `work`.

    Args:
        failed: the error of the first try alone; it is taken out, so that nothing holds it. The `except` block has
            ended.
        work: called at most once.
        make_room: as of `retried`.

    Raises:
        BaseException: the error of the first try, or what `work` raised.
    """
    error = failed.pop()
    if not is_out_of_memory(error):
        try:
            raise error
        finally:
            del error  # else this frame and the error would hold each other
    forget(error)
    if not make_room():
        try:
            raise error
        finally:
            del error
    del error
    release_device_memory()
    return work()


def forget(error: BaseException) -> None:
    """Clear the frames of an error and its chain, so that their tensors are freed; the error stays readable.

    Frames that still run (the caller's) keep their variables.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if link.__traceback__ is not None:
            traceback.clear_frames(link.__traceback__)
        waiting += [link.__cause__, link.__context__]
    release_device_memory()


def release_device_memory() -> None:
    """Collect garbage, and return the memory that torch has cached to the device, and glibc's to the system."""
    gc.collect()
    _trim()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _trim() -> None:
    """Give back what glibc's allocator keeps of freed memory; other C libraries do so by themselves."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
