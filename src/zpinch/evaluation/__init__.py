"""How good is it: distances, one fixed feature extractor, scores over real against real, baselines, and the report.

    metrics.py      pure distances            features.py     the extractor
    fidelity.py     scores at equal n         baselines.py    PNG, WebP, AVIF, xz, PCA
    subset.py       which images stand for all                report/  one HTML page

Nothing here trains or changes a model, and nothing here decides when to stop.
"""
