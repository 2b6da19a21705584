"""Formats of picture files: what is read, what is written, and what may hold a workflow."""

#: Suffixes of the pictures that Pillow reads without another library.
READ_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"})
#: Formats that are written, with the suffix of a new file.
WRITTEN_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
#: Suffixes of pictures that may hold a workflow.
WORKFLOW_SUFFIXES = frozenset({*WRITTEN_SUFFIX.values(), ".jpeg"})
