"""How fast the engines are, against Django's own and against the bare client: ``python -m benchmarks``."""
