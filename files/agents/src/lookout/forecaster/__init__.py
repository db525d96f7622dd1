"""Forecasts that say how good they are, from numpy alone.

What is in here so far is pure: samples in, plain values out; only `store` touches files. A caller
does this, where everything that can be refused comes back as `Refused`, with a reason in words:

    settings = Settings(step_seconds=300, upper=disk_bytes)       # a slot, a season, bounds
    history = prepare(times, values, settings, now)               # 7 to 28 seasons -> Series
    model = train(history)                                        # some milliseconds -> Model
    verdict = better(load(path, name), model, history)            # does it replace the old one?
    if verdict.replaces: save(path, name, model)

    recent = on_grid(times, values, settings, now, 2 * settings.slots)      # two seasons of samples
    made = forecast(model, recent)
    made.at(slots_ahead)                                          # value, lower and upper edge
    seen = made.seen                                              # the season before, as expected
    seen.scores.score[seen.newest]                                # 1: an anomaly begins
    seen.scores.flags[seen.newest]                                # it has begun and not ended
    seen.lower[seen.newest], seen.upper[seen.newest]              # what would have been usual
    until_upper(model, recent).likely                             # seconds until the disk is full

A season is a day; with 18 days of history a week is recognised too. `model.skill` is false, and
`model.reason` says why, where nothing was better than repeating the last season; then that is what
is forecast, and no alert should come from its scores. `model.quality` has the error (`mase`, and
`ratio` to the seasonal naive forecast's) and the coverage of the 90 % bands, both measured on days
that chose neither. `model.notes` are for whoever wrote the query.

How long an anomaly lasts: one shorter than half a season moves no expectation. A level that stays
is an anomaly at first and normal after half a season.

Slots are of UTC: where a season follows local time, it moves by an hour twice a year, and the
models need some days to follow.
"""
