"""A drawn figure as inline SVG: text stays text, ids differ between the charts of one page, and nothing is fetched."""

import io
import re
import warnings
import zlib
from collections.abc import Callable
from html import escape

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from topfive.leaderboard import plots


def chart(draw: Callable[[Axes], Axes], label: str, size: tuple[float, float], css: str = "half") -> Markup:
    """One chart as inline SVG; `label` says to those who cannot see it what it shows."""

    def one(figure: Figure) -> None:
        draw(figure.subplots())

    return figure_svg(one, label, size, css)


def figure_svg(draw: Callable[[Figure], None], label: str, size: tuple[float, float], css: str) -> Markup:
    """A drawn figure as an SVG element that scales with the page. size: inches."""
    with matplotlib.rc_context(plots.STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")  # we only measure; the browser has fonts
        figure = Figure(figsize=size, dpi=72, layout="constrained", facecolor="none")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    opening, body = re.split(r"(?<=>)", drawn[drawn.index("<svg") :], maxsplit=1)
    box = re.search(r'viewBox="([^"]*)"', opening)
    assert box is not None
    own = f"c{zlib.crc32(f'{css} {size} {label}'.encode()):08x}-"  # ids must differ between the charts of one page
    body = re.sub(r"<[^>]+>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\1{own}", tag[0]), body)
    body = body.replace(" xlink:href=", " href=")
    most = f"max-width:{size[0] * 72 * 1.4:.0f}px"
    return Markup(
        f'<svg class="chart {css}" role="img" aria-label="{escape(label)}" viewBox="{box[1]}" style="{most}">{body}'
    )
