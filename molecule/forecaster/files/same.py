"""Whether the models of two folders forecast the same: same.py FOLDER COPY."""

import sys
from pathlib import Path

import numpy as np

from lookout.forecaster.jobs.shelf import Shelf
from lookout.forecaster.model import forecast
from lookout.forecaster.series import Series

folders = [Shelf(Path(folder)) for folder in sys.argv[1:3]]
names = [path.stem for path in folders[0].files()]
for name in names:
    made = []
    for shelf in folders:
        model = shelf.load(name)
        count = 2 * model.settings.slots
        seen = 45 + 20 * np.sin(np.arange(count) / model.settings.slots * 2 * np.pi)
        coming = forecast(model, Series(model.settings, model.next_slot, seen))
        made.append(np.stack([coming.values, coming.lower, coming.upper]))
    if not np.array_equal(*made):
        sys.exit(f"{name} forecasts something else")
print(f"{len(names)} models forecast the same")
