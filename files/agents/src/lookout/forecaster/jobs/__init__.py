"""What runs by the clock, each time in a process of its own, with the memory that numpy takes."""

import os

# Read when numpy is imported: threads would cost memory, and one series needs none.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
