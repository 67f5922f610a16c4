"""Text files and tables, read with their faults named by file and line."""
