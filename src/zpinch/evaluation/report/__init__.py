"""The report: one self-contained HTML page about one model on one set of images."""

from zpinch.evaluation.report.data import (
    Curve,
    Number,
    Pairs,
    PriorRow,
    RatePoint,
    RealismPoint,
    ReportData,
    Samples,
    SizeComparison,
)
from zpinch.evaluation.report.report import render, write_report

__all__ = [
    "Curve",
    "Number",
    "Pairs",
    "PriorRow",
    "RatePoint",
    "RealismPoint",
    "ReportData",
    "Samples",
    "SizeComparison",
    "render",
    "write_report",
]
