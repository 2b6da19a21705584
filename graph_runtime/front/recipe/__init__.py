"""The record of a run in a picture, with which the picture can be made again."""
