"""Django's own session tests, from its source release, run over every engine of ours."""
