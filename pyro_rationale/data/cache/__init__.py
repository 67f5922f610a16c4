"""Documents in Arrow files: written once, and read from disk."""
