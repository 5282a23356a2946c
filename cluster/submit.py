"""The program on a cluster's head: `ray submit cluster/cluster.yaml cluster/submit.py -- label --task seg --num 64`."""

import os

from orchestrator.cli import main

os.environ.setdefault("RAY_ADDRESS", "auto")  # join the running cluster, never start a new one

if __name__ == "__main__":
    main()
