"""Pictures and masks: files, colour, shapes, fills, windows, pasting, sheets. Knows no model and no method."""
