"""The commands, one module each: they parse, call the other rooms, print and exit."""
