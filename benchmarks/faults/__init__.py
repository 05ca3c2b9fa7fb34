"""What visitors notice when a server fails: ``python -m benchmarks.faults --help``."""
