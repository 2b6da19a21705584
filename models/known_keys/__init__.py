"""Keys of model files that affect results: each is used, listed in a warning, refused, or neutral.

`docs/files.md` is generated from these tables. A key in none of them is listed too unless its value is empty, because
a file may have settings that this package does not know. Free text (training comments, titles) has no effect and is
not read.
"""
