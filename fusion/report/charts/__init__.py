"""Small inline SVG charts that follow the page's theme; each function returns Markup."""

from fusion.report.charts.bands import Band, Place, bands
from fusion.report.charts.bars import Bar, bars
from fusion.report.charts.cloud import cloud
from fusion.report.charts.curves import Curve, curves
from fusion.report.charts.dots import Dot, dots
from fusion.report.charts.falls import Fall, Step, falls
from fusion.report.charts.heatmap import Cell, heatmap
from fusion.report.charts.lines import lines
from fusion.report.charts.plane import Stop, way
from fusion.report.charts.scatter import Point, scatter
from fusion.report.charts.spark import spark

__all__ = [
    "Band",
    "Bar",
    "Cell",
    "Curve",
    "Dot",
    "Fall",
    "Place",
    "Point",
    "Step",
    "Stop",
    "bands",
    "bars",
    "cloud",
    "curves",
    "dots",
    "falls",
    "heatmap",
    "lines",
    "scatter",
    "spark",
    "way",
]
