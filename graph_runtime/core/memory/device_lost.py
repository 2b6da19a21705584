"""A device that disappears in the middle of a run: how libraries report it."""

#: Parts of messages, in lower case, after which a process cannot use its GPU any more.
SIGNS = (
    "no cuda-capable device is detected",
    "cuda-capable device(s) is/are busy or unavailable",
    "cuda error: unknown error",
    "unspecified launch failure",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "the launch timed out and was terminated",
    "cuda error: device not ready",
    "driver shutting down",
    "gpu is lost",
    "device is lost",
    "device lost",
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "cublas_status_execution_failed",
    "cudnn_status_execution_failed",
    "found no nvidia driver",
    "driver version is insufficient",
    "driver/library version mismatch",
    "cuda error: initialization error",
    "unexpected error from cudagetdevicecount",
    "fallen off the bus",
    "context is destroyed",
    "invalid device ordinal",
    "cudaerrordevicesunavailable",
    "hiperrornodevice",
    "hiperrorunknown",
    "hiperrorlaunchfailure",
)


def lost_device(error: BaseException) -> str | None:
    """What was said of a device that is gone, in an error or in one that caused it; None if none is."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        text = str(link)
        if isinstance(link, RuntimeError) and any(sign in text.lower() for sign in SIGNS):
            return text.strip().splitlines()[0][:200]
        seen.add(id(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


def explanation(device: str, said: str) -> tuple[str, str, str]:
    """Found, expected and fix, for a message."""
    return (
        f"{device} does not answer any more: {said}",
        "a device that stays for the whole run",
        "see what nvidia-smi or the system's log says of it; then start inlay again (what was finished is kept), "
        "with --device cpu until the device is back",
    )
