"""What model files say that decides a result: each key is used, named in a warning, refused, or neutral.

`docs/files.md` is generated from these tables. A key that is in none of them is named too unless its value is empty: a
file may know more than this package. Free text (training comments, titles) decides nothing and is not read.
"""
