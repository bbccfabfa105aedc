"""The charts of a contest, read back from their axes."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from topfive.leaderboard import marks, plots
from topfive.leaderboard.marks import Mark

pytestmark = pytest.mark.filterwarnings("error")

YEARS = [2014, 1998, 2012, 2017, 2012]
MARKS = [
    Mark("vgg", 0.02, 0.01, 0.03, first=True),
    Mark("lenet5", 0.04, 0.03, 0.06),
    Mark("alexnet", 0.05, 0.04, 0.07),
    Mark("foreign", 0.015, 0.01, 0.025, first=True, external=True),
    Mark("zf", 0.03, 0.02, 0.05),
]


@pytest.fixture
def ax() -> Iterator[Axes]:
    with matplotlib.rc_context(plots.STYLE):
        yield Figure(figsize=(5.5, 4.1), dpi=72, layout="constrained").subplots()


def marks_in(ax: Axes) -> dict[str, tuple[float, float, list[list[list[float]]]]]:
    """name -> (x, y, the ends of its interval bars)."""
    found = {}
    for container in ax.containers:
        assert isinstance(container, ErrorbarContainer)
        dot, _, bars = container.lines
        data: Any = dot.get_data() if dot else None
        (x,), (y,) = data
        ends = [np.round(segment, 9).tolist() for bar in bars for segment in bar.get_segments()]
        found[str(container.get_label())] = (x, y, ends)
    return found


def line_in(ax: Axes, gid: str) -> Any:
    (line,) = [line for line in ax.lines if line.get_gid() == gid]
    return line


def test_years_run_to_the_right_with_every_entry_and_its_interval(ax: Axes) -> None:
    plots.plot_error_by_year(YEARS, MARKS, ax)
    found = marks_in(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["lenet5", "alexnet", "zf", "vgg", "foreign"]
    assert found["lenet5"] == (0, 4.0, [[[0, 3.0], [0, 6.0]]])
    assert found["zf"] == (2, 3.0, [[[2, 2.0], [2, 5.0]]])
    assert found["foreign"] == (4, 1.5, [[[4, 1.0], [4, 2.5]]])
    assert [text.get_text() for text in ax.texts] == ["1998", "2012", "2014", "2017"]
    assert ax.get_ylabel() == "top-1 error (%)"


def test_best_so_far_falls_only_and_leaves_external_data_out(ax: Axes) -> None:
    plots.plot_error_by_year(YEARS, MARKS, ax)
    x, y = line_in(ax, "best-so-far").get_data()
    assert (list(x), list(y)) == ([0, 1, 2, 3, 4.5], [4.0, 4.0, 3.0, 2.0, 2.0])


def test_years_down_the_page_hold_the_same_numbers(ax: Axes) -> None:
    plots.plot_error_by_year(YEARS, MARKS, ax, upright=False)
    assert marks_in(ax)["zf"] == (3.0, 2, [[[2.0, 2], [5.0, 2]]])
    assert ax.get_xlabel() == "top-1 error (%)"
    top, bottom = ax.get_ylim()[1], ax.get_ylim()[0]
    assert top < 0 < 4 < bottom  # the oldest, slot 0, is on top


def test_pareto_front_agrees_with_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = [tuple(point) for point in rng.integers(0, 6, (7, 2))]
        points = list(dict.fromkeys(points))  # of equal points one stays
        undominated = {
            i
            for i, (cost, error) in enumerate(points)
            if not any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points)
        }
        assert set(plots.pareto_front([c for c, _ in points], [e for _, e in points])) == undominated


def test_cost_chart_joins_the_front_and_takes_a_log_axis_when_the_range_asks(ax: Axes) -> None:
    plots.plot_error_by_cost([30.0, 0.5, 2.0, 40.0, 3.0], MARKS, ax, "training (minutes)")
    x, y = line_in(ax, "pareto-front").get_data()
    assert (list(x), list(y)) == ([0.5, 3.0, 30.0, 40.0], [4.0, 3.0, 2.0, 1.5])
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "training (minutes), log scale")


@pytest.mark.parametrize("costs", [[1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 20.0, 400.0, 8000.0]])
def test_cost_axis_stays_linear_for_a_small_range_or_a_zero(ax: Axes, costs: list[float]) -> None:
    plots.plot_error_by_cost(costs, MARKS, ax, "training (minutes)")
    assert (ax.get_xscale(), ax.get_xlabel()) == ("linear", "training (minutes)")
    assert ax.get_xlim()[0] < min(costs)
    assert ax.get_xlim()[1] > max(costs)


def test_depth_chart_has_no_front(ax: Axes) -> None:
    plots.plot_error_by_cost([11, 5, 8, 50, 8], MARKS, ax, "layers with weights", front=False, whole=True)
    assert [line.get_gid() for line in ax.lines if line.get_gid() == "pareto-front"] == []
    assert marks_in(ax)["vgg"][:2] == (11, 2.0)


def test_errors_take_a_log_axis_when_the_worst_is_far_above_the_best(ax: Axes) -> None:
    marks = [Mark("good", 0.01, 0.0, 0.02), Mark("bad", 0.6, 0.55, 0.65)]
    plots.plot_error_by_cost([1, 2], marks, ax, "training (minutes)")
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "top-1 error (%), log scale")
    assert ax.get_ylim()[0] < 1.0
    assert ax.get_ylim()[1] > 65.0


def test_no_error_at_all_can_be_drawn(ax: Axes) -> None:
    plots.plot_error_by_cost([1, 2], [Mark("a", 0.0, 0.0, 0.04), Mark("b", 0.0, 0.0, 0.04)], ax, "training (minutes)")
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[1] > 4.0


@pytest.mark.parametrize("seed", range(4))
def test_names_cover_neither_each_other_nor_the_frame(ax: Axes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ["hog_svm", "xrce_2011", "alexnet_small", "vgg11_small", "resnet20_small", "googlenet_small", "nin_small"]
    errors = rng.uniform(0.02, 0.2, len(names))
    marks = [Mark(name, error, error - 0.01, error + 0.01) for name, error in zip(names, errors, strict=True)]
    plots.plot_error_by_cost(list(10 ** rng.uniform(-1, 1.5, len(names))), marks, ax, "training (minutes)")
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = {note.get_text(): Text.get_window_extent(note) for note in ax.texts}  # of the words, without the line
    frame = ax.get_window_extent()
    assert set(boxes) == set(names)
    for name, box in boxes.items():
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1, name
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1, name
    for a, b in combinations(boxes, 2):
        assert not boxes[a].overlaps(boxes[b]), (a, b)


def test_learning_curve_shows_one_entry_before_the_others(ax: Axes) -> None:
    curves = {"lenet5": ([1, 2, 3], [0.5, 0.25, 0.125]), "vgg": ([1, 2], [0.8, 0.4])}
    plots.plot_learning_curve("vgg", curves, ax)
    lines: list[Any] = list(ax.lines)
    behind, front = lines
    assert list(behind.get_ydata()) == [50, 25, 12.5]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([1, 2], [80, 40])
    assert (front.get_color(), front.get_zorder() > behind.get_zorder()) == (marks.BLUE, True)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("epoch", "top-1 error (%)", "vgg")
    assert ax.get_xlim()[1] >= 3
    assert ax.get_ylim()[1] >= 80


def test_confusion_shades_wrong_answers_by_share_and_prints_counts(ax: Axes) -> None:
    plots.plot_confusion([[8, 2, 0], [0, 5, 0], [1, 3, 16]], ["cat", "dog", "emu"], ax)
    _, wrong = ax.collections
    shares: Any = wrong.get_array()
    assert np.ma.getmaskarray(shares).ravel().tolist() == np.eye(3, dtype=bool).ravel().tolist()
    assert np.ma.filled(shares, -1).reshape(3, 3).tolist() == [[-1, 20, 0], [0, -1, 0], [5, 15, -1]]
    printed = {text.get_position(): text.get_text() for text in ax.texts}
    assert printed == {
        (0.5, 0.5): "8", (1.5, 0.5): "2", (1.5, 1.5): "5", (0.5, 2.5): "1", (1.5, 2.5): "3", (2.5, 2.5): "16",
    }  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer", "truth")
    assert ax.get_ylim() == (3, 0)  # the first class on top
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "emu"]


def test_class_errors_put_the_worst_on_top(ax: Axes) -> None:
    plots.plot_class_errors(["cat", "dog", "emu"], [0.1, 0.3, 0.0], ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dog", "cat", "emu"]
    bars: list[Any] = list(ax.patches)
    assert [bar.get_width() for bar in bars] == [30, 10, 0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlabel() == "top-1 error (%)"


def test_hit_rates_are_counted_in_tenths(ax: Axes) -> None:
    """3 of 10 and 29 of 97: 30.0 and 29.9 %; all of them is in the last tenth."""
    plots.plot_hit_rates([3, 29, 7, 7, 0], [10, 97, 7, 8, 3], ax, k=5)
    assert [bar.get_height() for bar in ax.patches if isinstance(bar, Rectangle)] == [1, 0, 1, 1, 0, 0, 0, 0, 1, 1]
    assert [bar.get_x() for bar in ax.patches if isinstance(bar, Rectangle)] == list(range(0, 100, 10))
    assert ax.get_xlabel() == "top-5 hit rate of a class (%)"
    assert [text.get_text() for text in ax.texts] == ["1"] * 5


def test_class_errors_have_their_interval_and_their_images(ax: Axes) -> None:
    plots.plot_class_errors(["a", "b"], [0.2, 1.0], ax, images=[100, 15])
    assert [text.get_text() for text in ax.texts] == ["15 of 15", "20 of 100"]
    (lines,) = [one for one in ax.collections if isinstance(one, LineCollection)]
    ends = [segment[:, 0].tolist() for segment in lines.get_segments()]
    assert ends == [pytest.approx([79.61, 100], abs=0.01), pytest.approx([13.34, 28.88], abs=0.01)]


def test_errors_by_scale_show_two_entries_and_the_rest_behind(ax: Axes) -> None:
    errors = {"best": [(0.4, 0.3, 0.5), (0.2, 0.1, 0.3)], "old": [(0.6, 0.5, 0.7), (0.5, 0.4, 0.6)],
              "third": [(0.5, 0.2, 0.8), (0.4, 0.2, 0.6)]}  # fmt: skip
    plots.plot_error_by_scale(["below 1/16\n9 images", "1/2 and more\n40 images"], errors, ["best", "old"], ax)
    drawn = {
        container.get_label(): container for container in ax.containers if isinstance(container, ErrorbarContainer)
    }
    assert list(drawn) == ["best", "old"]
    points, _, bars = drawn["best"].lines
    assert points is not None and points.get_color() == marks.BLUE
    assert np.asarray(points.get_xydata()).tolist() == [[0, pytest.approx(40)], [1, pytest.approx(20)]]
    ends = [segment[:, 1].tolist() for segment in bars[0].get_segments()]
    assert ends == [pytest.approx([30, 50]), pytest.approx([10, 30])]
    behind = [line for line in ax.lines if line.get_color() == "#cbd2d9"]
    assert [np.asarray(line.get_ydata()).tolist() for line in behind] == [pytest.approx([50, 40])]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["below 1/16\n9 images", "1/2 and more\n40 images"]
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 70


def test_reliability_has_a_line_an_entry_and_discs_by_their_images(ax: Axes) -> None:
    bins = {"hog": [(100, 0.5, 0.25), (400, 0.75, 0.5)], "net": [(50, 0.9, 1.0)]}
    plots.plot_reliability(bins, ax)
    assert line_in(ax, "diagonal").get_xydata().tolist() == [[0, 0], [100, 100]]
    hog, net = [line for line in ax.lines if line.get_gid() != "diagonal"]
    assert np.asarray(hog.get_xydata()).tolist() == [[50, 25], [75, 50]]
    assert np.asarray(net.get_xydata()).tolist() == [[90, 100]]
    assert (hog.get_color(), net.get_color()) == (marks.BLUE, marks.ORANGE)
    assert hog.get_linestyle() != net.get_linestyle()
    discs = {str(one.get_gid()): one for one in ax.collections if isinstance(one, PathCollection) and one.get_gid()}
    assert np.asarray(discs["bins-0"].get_offsets()).tolist() == [[50, 25], [75, 50]]
    small, large = discs["bins-0"].get_sizes()
    assert large == pytest.approx(4 * small)
    assert discs["bins-1"].get_sizes()[0] == pytest.approx(small / 2)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "hog", "net", "400 images in a bin", "40 images in a bin",
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence (%)", "share right (%)")
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 100), (0, 100))


def test_reliability_of_a_single_image_can_be_drawn(ax: Axes) -> None:
    plots.plot_reliability({"net": [(1, 0.9, 0.0)]}, ax)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["net", "1 image in a bin"]


def test_risk_against_coverage_names_some_and_shows_the_rest_behind(ax: Axes) -> None:
    curves = {
        "best": ([0.25, 0.5, 1.0], [0.0, 0.125, 0.25]),
        "second": ([1.0], [0.5]),
        "rest": ([0.5, 1.0], [0.5, 0.75]),
    }
    plots.plot_risk_coverage(curves, ["best", "second"], ax)
    drawn = {str(line.get_label()): line for line in ax.lines}
    assert np.asarray(drawn["best"].get_xydata()).tolist() == [[25, 0], [50, 12.5], [100, 25]]
    assert drawn["second"].get_marker() == "o"  # one point alone is no line
    (behind,) = [line for line in ax.lines if line.get_color() == "#cbd2d9"]
    assert np.asarray(behind.get_xydata()).tolist() == [[50, 50], [100, 75]]
    assert behind.get_zorder() < drawn["best"].get_zorder()
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["best", "second"]
    assert ax.get_xlabel() == "answered, the surest first (% of images)"
    assert ax.get_ylabel() == "top-1 error among the answers (%)"
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 75


def test_risk_without_any_error_can_be_drawn(ax: Axes) -> None:
    plots.plot_risk_coverage({"net": ([0.5, 1.0], [0.0, 0.0])}, ["net"], ax)
    assert ax.get_ylim() == (0, 1)
