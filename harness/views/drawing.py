"""Figures as SVG, PDF or PNG, legible in print and to the colour-blind; equal figures give equal bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.views.curve import Figure, Panel, Series
from harness.views.gallery import Gallery

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, less the yellow that white paper swallows."""
MARKERS = "os^Dv<P>X"
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
LETTERS = 8
"""Size of text in points."""
THIN = (":", (0, (7, 3)), (0, (3, 1.5, 1, 1.5)), (0, (2, 2)))
GREY = "#555555"
"""References are thin and grey."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "pdf.fonttype": 42,
    "font.size": LETTERS,
    "axes.titlesize": LETTERS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
WIDE, HIGH, LETTER, ABREAST = 2.7, 2.7, 0.062, 3
"""Inches of a panel without its labels and of one of their letters; how many panels stand side by side."""
LINE, BESIDE, MARGIN = 1.25, 1.05, 0.04
"""Height of a line of text in letters; place of labels and room around curves, in widths of a panel."""
LABEL, TITLE = 26, 42
"""Letters of a line of a label, and of an axis's title."""


def draw(figure: Figure, form: str) -> bytes:
    """A figure as a file of `form` svg, pdf or png. Raises ValueError if it has no panels."""
    if not figure.panels:
        raise ValueError("a figure without panels")
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    abreast = min(len(figure.panels), ABREAST)
    rows = -(-len(figure.panels) // abreast)
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        longest = max(min(len(each.label), LABEL) for panel in figure.panels for each in panel.series)
        lines = max(sum(map(_lines, panel.series)) for panel in figure.panels)
        high = max(HIGH, LINE * LETTERS / 72 * lines + 0.8)
        sheet = Sheet(((WIDE + LETTER * longest) * abreast, high * rows), layout="constrained")
        FigureCanvasAgg(sheet)
        axes = sheet.subplots(rows, abreast, squeeze=False).ravel()
        drawn = list(zip(axes, figure.panels, strict=False))
        for area, panel in drawn:
            _draw_panel(area, figure, panel)
        for area in axes[len(drawn) :]:
            area.remove()
        sheet.draw_without_rendering()  # only now is known where things lie
        sheet.set_layout_engine("none")
        for area, panel in drawn:
            _spread_labels(area, [_look(series, figure) for series in _dodged(figure, panel)])
            _thin_ticks(area)
        sheet.savefig(out, format=form, dpi=200, metadata=UNDATED[form])
    return out.getvalue()


def hang(gallery: Gallery, form: str) -> bytes:
    """The pictures of a gallery as one file, a row for each title. Raises ValueError if there are none."""
    if not gallery.rows:
        raise ValueError("a gallery without pictures")
    import matplotlib
    from matplotlib.figure import Figure as Sheet
    from matplotlib.image import imread

    lines = [
        (title if begin == 0 else "", pictures[begin : begin + ABREAST])
        for title, pictures in gallery.rows.items()
        for begin in range(0, len(pictures), ABREAST)
    ]
    shown = [[imread(picture.path) for picture in pictures] for _, pictures in lines]
    heights = [max(image.shape[0] / image.shape[1] for image in row) * WIDE + 0.5 for row in shown]
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        sheet = Sheet((WIDE * ABREAST, sum(heights)), layout="constrained")
        axes = sheet.subplots(len(lines), ABREAST, squeeze=False, height_ratios=heights)
        for areas, (title, pictures), images in zip(axes, lines, shown, strict=True):
            for area in areas:
                area.set_axis_off()
            for area, picture, image in zip(areas, pictures, images, strict=False):
                area.imshow(image, cmap="gray", interpolation="nearest")
                area.set_title(textwrap.fill(picture.caption, TITLE), loc="left")
            areas[0].annotate(
                title,
                (0, 1),
                (0, 28),
                xycoords="axes fraction",
                textcoords="offset points",
                fontweight="bold",
            )
        sheet.savefig(out, format=form, dpi=200, metadata=UNDATED[form])
    return out.getvalue()


def _draw_panel(area: Axes, figure: Figure, panel: Panel) -> None:
    from matplotlib.ticker import AsinhLocator

    area.set(xlabel=figure.x_title, ylabel=textwrap.fill(figure.y_title, TITLE))
    scales = ((area.xaxis, area.set_xscale, figure.x_scale), (area.yaxis, area.set_yscale, figure.y_scale))
    for axis, set_scale, scale in scales:
        if isinstance(scale, str):
            set_scale(scale)
        else:
            set_scale("asinh", linear_width=scale)
            axis.set(major_locator=AsinhLocator(scale, 6), major_formatter="{x:.3g}")
    area.set_title(panel.title, loc="left", fontweight="bold")
    area.set_axisbelow(True)
    area.margins(x=MARGIN, y=MARGIN)
    for series in _dodged(figure, panel):
        look = _look(series, figure)
        _draw_series(area, series, look)
        end = series.points[-1]
        line = {"arrowstyle": "-", "color": look["color"], "linewidth": 0.5, "shrinkA": 7, "shrinkB": 3}
        area.annotate(
            textwrap.fill(series.label, LABEL),
            (end.x, end.y),
            (BESIDE + MARGIN, 0.5),
            textcoords="axes fraction",
            va="center",
            annotation_clip=False,
            arrowprops=line | {"relpos": (0, 0.5)},
        )
    if figure.x_ticks:
        area.set_xticks(figure.x_ticks, [f"{x:g}" for x in figure.x_ticks])
        area.set_xticks([], minor=True)


def _lines(series: Series) -> int:
    return len(textwrap.wrap(series.label, LABEL))


def _dodged(figure: Figure, panel: Panel) -> list[Series]:
    """References first; where all points share one x, methods are shown beside one another."""
    series = sorted(panel.series, key=lambda each: each.kind == "measured")
    if not figure.x_ticks or len({point.x for each in series for point in each.points}) > 1:
        return series
    step, ours = 0.1 * (abs(series[0].points[0].x) or 1), [each for each in series if each.kind == "measured"]
    beside = [
        replace(
            each,
            points=[
                replace(point, x=point.x + step * (place - (len(ours) - 1) / 2)) for point in each.points
            ],
        )
        for place, each in enumerate(ours)
    ]
    return [each for each in series if each.kind != "measured"] + beside


def _look(series: Series, figure: Figure) -> dict[str, Any]:
    if series.kind == "published":
        return {"color": GREY, "linestyle": "", "marker": "*", "markersize": 8, "fillstyle": "none"}
    index = figure.labels_of(series.kind).index(series.label)
    if series.kind == "reference":
        return {"color": GREY, "linestyle": THIN[index % len(THIN)], "marker": "", "linewidth": 1.0}
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def _draw_series(area: Axes, series: Series, look: dict[str, Any]) -> None:
    points = series.points
    if series.kind == "reference" and len(points) == 1:
        area.axhline(points[0].y, **look)
    y_bars = [[point.y - _or(point.low, point.y) for point in points]]
    y_bars += [[_or(point.high, point.y) - point.y for point in points]]
    x_bars = [[point.x - _or(point.x_low, point.x) for point in points]]
    x_bars += [[_or(point.x_high, point.x) - point.x for point in points]]
    area.errorbar(
        [point.x for point in points],
        [point.y for point in points],
        yerr=y_bars if any(map(any, y_bars)) else None,
        xerr=x_bars if any(map(any, x_bars)) else None,
        capsize=2,
        elinewidth=0.8,
        **look,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _spread_labels(area: Axes, looks: Sequence[dict[str, Any]]) -> None:
    """Move labels to the heights of what they name, as little away as they must, each with its marker."""
    labels: list[Any] = list(area.texts)
    box = area.get_window_extent()
    ends = [float(area.transData.transform(label.xy)[1] - box.y0) / box.height for label in labels]
    line = LINE * LETTERS * area.figure.dpi / 72 / box.height
    heights = spread(ends, [line * (1 + label.get_text().count("\n")) for label in labels])
    for label, look, height in zip(labels, looks, heights, strict=True):
        label.xyann = (BESIDE + MARGIN, height)
        ends = [BESIDE] if look["marker"] else [BESIDE - MARGIN / 2, BESIDE + MARGIN / 2]
        area.plot(ends, [height] * len(ends), transform=area.transAxes, clip_on=False, **look)


def _thin_ticks(area: Axes) -> None:
    """Leave out the numbers of an axis that would touch the one before."""
    box = area.get_window_extent()
    letter = LETTERS * area.figure.dpi / 72
    for axis, side in ((area.xaxis, 0), (area.yaxis, 1)):
        reached = -math.inf
        for tick, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False):
            place = float(area.transData.transform((tick, tick))[side])
            size = letter * (0.6 * len(label.get_text()) + 0.3 if side == 0 else LINE)
            if place - size / 2 < reached and box.min[side] <= place <= box.max[side]:
                label.set_visible(False)
            else:
                reached = place + size / 2


def spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres in [0, 1] of things of these sizes that do not overlap, as near as can be to those `wanted`.

    They keep their order, and the sum of squared distances is least (isotonic regression, by pooling
    adjacent violators, of what is wanted less the room that those below take). Where not all fit in, they
    start at 0 and leave 1 behind.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    below, room = [], 0.0
    for index in order:
        below.append(room + sizes[index] / 2)
        room += sizes[index]
    pools: list[tuple[float, int]] = []  # means and sizes
    for index, offset in zip(order, below, strict=True):
        mean, many = wanted[index] - offset, 1
        while pools and pools[-1][0] > mean:
            before, others = pools.pop()
            mean, many = (before * others + mean * many) / (others + many), others + many
        pools.append((mean, many))
    free = max(0.0, 1.0 - room)
    flat = [min(max(mean, 0.0), free) for mean, many in pools for _ in range(many)]
    made = dict(zip(order, map(sum, zip(flat, below, strict=True)), strict=True))
    return [made[index] for index in range(len(wanted))]
