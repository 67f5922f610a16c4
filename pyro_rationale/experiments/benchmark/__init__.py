"""Methods against each other, cell by cell: corpora x rates x methods x seeds, from one file."""
