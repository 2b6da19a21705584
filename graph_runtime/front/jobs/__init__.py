"""Jobs: a folder given for a picture means one run for each picture in it, resumed where an earlier start ended."""
