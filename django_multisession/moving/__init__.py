"""Moving in: sessions may be in the entry's own store (here), or in the place that FALLBACK names (there).

Both look like one to the rest of the package; no engine knows of it.
"""
