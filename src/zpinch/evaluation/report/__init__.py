"""The report: one self-contained HTML page about one model on one set of images."""

from zpinch.evaluation.report.data import (
    Comparison,
    Curve,
    Number,
    Pairs,
    PriorRow,
    RatePoint,
    RealismPoint,
    ReportData,
    Samples,
    SizeComparison,
    Table,
)
from zpinch.evaluation.report.report import render

__all__ = [
    "Comparison",
    "Curve",
    "Number",
    "Pairs",
    "PriorRow",
    "RatePoint",
    "RealismPoint",
    "ReportData",
    "Samples",
    "SizeComparison",
    "Table",
    "render",
]
