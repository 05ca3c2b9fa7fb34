"""Tests of a server that somebody brings: scripts/mongodb-acceptance. Without one there is nothing to collect."""

import os

collect_ignore = [] if os.environ.get("MONGODB_ACCEPTANCE_URL") else ["test_mongodb.py"]
