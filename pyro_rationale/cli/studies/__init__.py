"""Commands of the studies: each module here holds one as `study`."""
