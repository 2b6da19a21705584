"""Tokenizers of CLIP and BERT, built from the files of a folder; no library opens these."""
