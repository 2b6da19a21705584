"""What picture files consist of: read within bounds and cut to one picture, before a library decodes them."""
