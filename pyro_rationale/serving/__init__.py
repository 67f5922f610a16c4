"""A page to paste a text into, and the JSON endpoint behind it."""
