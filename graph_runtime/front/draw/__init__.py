"""A workflow as a picture of boxes and wires."""
