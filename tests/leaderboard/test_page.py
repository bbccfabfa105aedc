"""The contest's page: complete, self-contained, safe and accessible, read with a parser that is not ours."""

import math
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from topfive.leaderboard import gallery, page, terminal

pytestmark = pytest.mark.filterwarnings("error")

Board = dict[str, Any]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$x^{2}$ & --><b>",
    "猫",
    'url(#a) id="b"',
    "f",
]


class Page(HTMLParser):
    """Tags with their attributes in order, the text of the table rows, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self.inside:
            return
        self.text.append(data)
        if "td" in self.inside or "th" in self.inside:
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def row(self, width: int, *start: str) -> list[str]:
        """The row of `width` cells that starts with these."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.rows if len(row) == width]
        (found,) = [row for row in rows if row[: len(start)] == list(start)]
        return found


@pytest.fixture(scope="module", params=["ten", "three", "hundred"])
def shown(request: pytest.FixtureRequest, named_board: Callable[[str], Board]) -> tuple[Board, str]:
    """A board and its page; not to be changed."""
    board = named_board(request.param)
    return board, page.render(board)


@pytest.fixture(scope="module")
def ten(named_board: Callable[[str], Board]) -> tuple[Board, str]:
    """The board of ten classes and its page; not to be changed."""
    board = named_board("ten")
    return board, page.render(board)


def assert_loads_nothing(html: str) -> None:
    """No attribute or style of the page makes a browser fetch anything."""
    for tag, attrs in Page(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form"), tag
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "srcset", "poster", "data", "action"):
                assert (value or "").startswith(("#", "data:image/png;base64,")), (tag, name, value)
            assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", value or "") or name in ("aria-label", "alt", "title"), (
                value
            )
    styles = "".join(re.findall(r"<style.*?</style>", html, flags=re.DOTALL))
    assert styles
    assert "@import" not in styles
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", styles)


def test_the_page_loads_nothing(shown: tuple[Board, str]) -> None:
    _, html = shown
    assert_loads_nothing(html)
    assert "http://" not in html
    assert "https://" not in html
    policies = [attrs["content"] for attrs in Page(html).all("meta") if attrs.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_hostile_names_stay_text(make_board: Callable[..., Board]) -> None:
    board = make_board(HOSTILE, [0.3, 0.2, 0.25], of=300)
    board["name"] = board["entries"][-1]["reason"] = board["pick"]["command"] = HOSTILE[0]
    for image in (board["hardest"][0], board["mistakes"]["surest"][0]):
        image |= {"id": HOSTILE[1], "image": "https://example.org/spy.png"}
    html = page.render(board)
    assert_loads_nothing(html)
    seen = Page(html)
    kinds = [board["mistakes"]["eras"][kind]["images"] for kind in ("only_old_misses", "only_new_misses", "all_miss")]
    images = [board["hardest"], board["mistakes"]["surest"], *kinds]
    assert len(seen.all("img")) == sum(len(one) for one in images) - 2
    for name in HOSTILE:
        assert " ".join(name.split()) in seen.words()
    assert re.search(r"<text[^>]*>\$x\^\{2\}\$ &amp;", html)  # a dollar sign is not mathematics


def test_every_chart_says_what_it_shows_and_stays_text(shown: tuple[Board, str]) -> None:
    _, html = shown
    charts = Page(html).all("svg")
    assert len(charts) >= 6
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"] or "") > 30
        assert "viewbox" in chart
        assert "width" not in chart
        assert "height" not in chart
    for body in re.findall(r'<svg class="chart.*?</svg>', html, flags=re.DOTALL):
        assert body.count("<text") > 5


def test_ids_are_unique_and_every_reference_resolves(shown: tuple[Board, str]) -> None:
    _, html = shown
    seen = Page(html)
    ids = Counter(attrs["id"] for _, attrs in seen.tags if "id" in attrs)
    assert [name for name, often in ids.items() if often > 1] == []
    wanted = {(attrs["href"] or "")[1:] for _, attrs in seen.tags if (attrs.get("href") or "").startswith("#")}
    wanted |= set(re.findall(r"url\(#([\w-]+)\)", html))
    assert wanted
    assert wanted <= set(ids)


def test_the_leaderboard_holds_every_figure_in_order_of_rank(shown: tuple[Board, str]) -> None:
    board, seen = shown[0], Page(shown[1])
    entries = terminal.ranked(board)
    assert [entry["rank"] for entry in entries] == sorted(entry["rank"] for entry in entries)
    of = board["data"]["counts"]["test"]
    assert f"Evaluated {of:,} of {of:,} images" in seen.words()
    for entry in entries:
        judged = " judged as it is" if entry["status"] == "judged" else ""
        row = seen.row(11, str(entry["rank"]), entry["entry"] + judged, str(entry["year"]))
        low, high = (f"{100 * end:.1f}" for end in entry["top1_interval"])
        assert row[3] == f"{100 * entry['top1_error']:.1f}% {low}–{high}%"
        assert row[5] == ("external" if entry["external_data"] else "no")
        assert row[6:] == [
            terminal.figure(entry["train_minutes"]), terminal.magnitude(entry["params"]),
            terminal.magnitude(entry["macs"]), terminal.figure(entry["ms_per_image"]),
            terminal.figure(entry["file_mb"]),
        ]  # fmt: skip
        for change in entry["changes"]:
            assert change in seen.words()


def test_every_cell_of_a_card_has_the_label_of_its_column(ten: tuple[Board, str]) -> None:
    _, html = ten
    head, *rows = re.findall(
        r"<tr.*?</tr>", html.split('aria-label="Leaderboard"')[1].split("</table>")[0], flags=re.DOTALL
    )
    columns = [re.sub(r"<.*", "", name).strip() for name in re.findall(r"<th [^>]*>(.*?)</th>", head, flags=re.DOTALL)]
    labels = re.findall(r'<td [^>]*data-label="([^"]*)"', rows[0])
    assert [*labels[:1], "Entry", *labels[1:]] == columns


def test_a_failed_entry_is_listed_with_its_sentence(ten: tuple[Board, str]) -> None:
    row = Page(ten[1]).row(4, "–", "zf_small", "2013")
    assert row[3] == "failed its loss was not a finite number in epoch 3; try --set stage.0.optimizer.lr=0.005"


def test_the_answer_and_the_pick_come_first(ten: tuple[Board, str]) -> None:
    board, words = ten[0], Page(ten[1]).words()
    parts = [terminal.answer(board), "The pick: ", board["pick"]["why"], "at most 50 MB", board["pick"]["command"]]
    parts += ["Leaderboard", "Error by year", "Error against cost", "Error by depth", "Learning curves"]
    parts += ["Which differences are real", "confuses", "The images most entries got wrong", "How it was run"]
    places = [words.rindex(part) if part[0].isupper() and "pick" not in part else words.index(part) for part in parts]
    assert places[1:5] == sorted(places[1:5])
    assert places[5:] == sorted(places[5:])
    assert places[0] < places[1]
    assert places[4] < places[5]


def test_no_pick_and_no_top5_are_said(small_board: Board) -> None:
    small_board["pick"] = None
    seen = Page(page.render(small_board))
    assert "No pick" in seen.words()
    assert "No entry fits the limits" in seen.words()
    assert "Top-5 error is not defined with 3 classes: it needs more than five." in seen.words()
    assert seen.row(11, "1", "lenet5")[4] == "not defined"


def test_the_matrix_says_what_each_comparison_says(ten: tuple[Board, str]) -> None:
    board, seen = ten[0], Page(ten[1])
    names = [entry["entry"] for entry in terminal.ranked(board)]
    letters = "ABCDEF"
    for pair in board["comparisons"]:
        for one, other, ahead in (
            (pair["a"], pair["b"], pair["only_a_right"] > pair["only_b_right"]),
            (pair["b"], pair["a"], pair["only_b_right"] > pair["only_a_right"]),
        ):
            row = seen.row(7, f"{letters[names.index(one)]} {one}")
            verdict = ("better" if ahead else "worse") if pair["significant"] else "≈"
            assert row[1 + names.index(other)] == f"{verdict} {terminal.chance(pair['p_holm'])}"
    assert any(pair["significant"] for pair in board["comparisons"])


def test_confused_pairs_agree_with_a_plain_count(board: Board) -> None:
    best = terminal.leader(board)
    assert best is not None
    truth_answer = [
        (count, str(t), str(a))
        for t, row in enumerate(best["confusion"])
        for a, count in enumerate(row)
        if t != a and count
    ]
    pairs = page.confused_pairs(board, page.class_names(board))
    assert sorted((pair["count"], pair["truth"], pair["answer"]) for pair in pairs) == sorted(truth_answer)
    assert [pair["count"] for pair in pairs] == sorted((pair["count"] for pair in pairs), reverse=True)
    assert {pair["of"] for pair in pairs} <= {79, 80}  # 797 images of ten classes


def test_many_classes_get_pairs_instead_of_a_heat_map(shown: tuple[Board, str]) -> None:
    board, seen = shown[0], Page(shown[1])
    many = len(board["data"]["classes"]) > 30
    heat_maps = [svg for svg in seen.all("svg") if (svg["aria-label"] or "").startswith("Confusion of ")]
    assert len(heat_maps) == (0 if many else 1)
    pairs = [row for row in seen.rows if len(row) == 3 and re.fullmatch(r"\d+ of \d+", row[2].strip())]
    best = terminal.leader(board)
    assert best is not None
    wrong = sum(t != a and count > 0 for t, row in enumerate(best["confusion"]) for a, count in enumerate(row))
    assert len(pairs) == min(wrong, 20 if many else 10)
    assert ("the 40 worst of 100" in seen.words()) == many


def test_many_entries_get_a_matrix_of_signs(named_board: Callable[[str], Board]) -> None:
    board = named_board("hundred")
    for entry in board["entries"]:
        entry["curve"] = []  # quicker to draw
    html = page.render(board)
    assert Page(html).row(13, "A photo_net")[1:] == ["", *["▲"] * 11]
    assert "Learning curves" not in html


def test_an_entry_that_learns_codes_has_no_curve_of_errors(make_board: Callable[..., Board]) -> None:
    board = make_board(["crane", "heron", "stork"], [0.3, 0.2], of=90, fail=False)
    first, second = board["entries"]
    first["curve"] = [{"epoch": 1, "loss": 0.2, "strangers": 0.5, "lr": 0.1}]
    second["curve"] = [{"epoch": 1, "loss": 0.9, "top1_error": 0.4, "lr": 0.1}]
    html = page.render(board)
    assert f"Without a curve: {first['entry']}." in Page(html).words()
    assert f"by epoch: {second['entry']} from 40.0%" in html


def test_shortened_entries_are_marked_in_the_table_and_below_the_years(make_board: Callable[..., Board]) -> None:
    board = make_board(["crane", "heron", "stork"], [0.3, 0.2], of=90, fail=False)
    assert "hortened" not in Page(page.render(board)).words()
    first = board["entries"][0]
    first["changes"] = ["fitted on 200 of 1,000 images, to keep to the minutes"]
    words = Page(page.render(board)).words()
    assert words.count(f"{first['entry']} shortened") == 1
    assert f"not what their whole recipes reach: {first['entry']}." in words


def test_classes_of_one_name_are_told_apart(make_board: Callable[..., Board]) -> None:
    board = make_board(["crane", "crane", "heron"], [0.3, 0.2], of=90)
    assert list(page.class_names(board).values()) == ["crane (c000)", "crane (c001)", "heron"]


def test_hardest_images_show_truth_and_answers(board: Board) -> None:
    board["hardest"] = [
        {"id": "3/x.png", "label": "c003", "missed_by": 2, "of": 3, "image": "data:image/png;base64,AAAA",
         "answers": {"hog_svm": "c008", "vgg11_small": "c003", "lenet5": "c008"}}
    ]  # fmt: skip
    (image,) = gallery.hardest(board, page.class_names(board))
    assert image["answers"] == [
        {"name": "3", "entries": ["vgg11_small"], "right": True},
        {"name": "8", "entries": ["lenet5", "hog_svm"], "right": False},
    ]
    words = Page(page.render(board)).words().replace("_ ", "_")  # where a line may break after an underscore
    assert "Truth 3 , missed by 2 of 3" in words
    assert "✓ 3 : vgg11_small" in words
    assert "8 : lenet5 and hog_svm" in words


def test_how_it_was_run_is_all_there(ten: tuple[Board, str]) -> None:
    board, words = ten[0], Page(ten[1]).words()
    for fact in (
        "read as built in; judged on test", "8 x 8 grey images", "train 7/broken.png: cannot be decoded", "seed 0",
        board["data"]["manifest"], "3.6 of 4.0 minutes", "AMD EPYC 7763, 2 cores, 7.8 GiB", "torch 2.13.0",
        "21 November 2026, 10:00 UTC", "1 + the number of entries significantly better", "not the training seeds",
    ):  # fmt: skip
        assert fact in words, fact


def test_a_contest_in_which_all_failed_or_one_was_judged_still_has_a_page(board: Board) -> None:
    one, none = dict(board), dict(board)
    one |= {"entries": [board["entries"][0]], "comparisons": []}
    assert "nothing to compare it with" in Page(page.render(one)).words()
    none |= {"entries": [board["entries"][-1]], "comparisons": [], "hardest": [], "pick": None}
    seen = Page(page.render(none))
    assert "No entry finished" in seen.words()
    assert "zf_small" in seen.words()
    assert seen.all("svg") == []


def test_the_pick_is_a_sentence_and_its_limits_are_said_once(ten: tuple[Board, str], small_board: Board) -> None:
    assert Page(ten[1]).words().count("at most 50 MB") == 1
    small_board["pick"]["why"] = "lowest top-1 error of the 2 entries within at most 50 MB"
    words = Page(page.render(small_board)).words()
    assert "Lowest top-1 error of the 2 entries within at most 50 MB. Name your own photo" in words


def test_the_pick_says_that_the_judged_images_chose_it(ten: tuple[Board, str], small_board: Board) -> None:
    board, html = ten
    box = html[html.index('id="pick"') : html.index("<nav")]
    assert terminal.chosen(board) in " ".join(box.split())
    assert "Leader and pick are chosen on the images that judge them" in box
    small_board["pick"] = None
    assert "The leader is chosen on the images that judge it" in Page(page.render(small_board)).words()


def test_parts_of_epochs_are_printed_plainly(small_board: Board) -> None:
    small_board["entries"][1] |= {"epochs": 2.5, "recipe_epochs": 20.0}
    assert "2.5 of 20" in [cell.strip() for row in Page(page.render(small_board)).rows for cell in row]


def test_the_same_board_gives_the_same_page(small_board: Board) -> None:
    assert page.render(small_board) == page.render(small_board)


def test_the_surest_wrong_answers_are_shown_with_their_error(ten: tuple[Board, str]) -> None:
    board, words = ten[0], Page(ten[1]).words()
    best = terminal.leader(board)
    assert best is not None
    wrong = round(best["top1_error"] * 797)
    start = f"The 12 of greatest probability among its {wrong} wrong" if wrong > 12 else f"All its {wrong} wrong"
    assert f"{start} answers on 797 images (top-1 error {100 * best['top1_error']:.1f}%, 95% interval" in words
    image = board["mistakes"]["surest"][0]
    assert f"Truth {int(image['label'][1:])} {best['entry']}: {int(image['answer'][1:])} , > 99.9%" in words


def test_what_each_era_misses_is_counted_and_shown(ten: tuple[Board, str]) -> None:
    board, words = ten[0], Page(ten[1]).words()
    sides = board["mistakes"]["eras"]
    new = sides["new"]["entry"]
    for who, kind in (
        (f"Only the old miss lenet5 is wrong, {new} is right", sides["only_old_misses"]),
        (f"Only the new miss {new} is wrong, lenet5 is right", sides["only_new_misses"]),
        ("All miss: look at the label All 6 entries are wrong", sides["all_miss"]),
    ):
        share = f"{100 * kind['count'] / 797:.1f}%"
        assert f"{who} on {kind['count']} of 797 images ({share}, 95% interval 1.1–22.2%)" in words
    assert f"lenet5 of 1998 (before 2012) and {new} of {sides['new']['year']} (2012 and later), which is" in words
    assert ("2 of 6 say" in words) == bool(sides["all_miss"]["count"])
    assert ", 73.4%" in words


def test_what_a_confidence_is_worth_is_tabled_and_drawn(shown: tuple[Board, str]) -> None:
    board, seen = shown[0], Page(shown[1])
    entries = terminal.ranked(board)
    for entry in entries:
        known = entry["calibration"]
        figures = [f"{100 * known['ece']:.1f}%", f"{known['brier']:.3f}", f"{known['nll']:.3f}"]
        assert [cell.strip() for cell in seen.row(4, entry["entry"], figures[0])] == [entry["entry"], *figures]
    classes, of = len(board["data"]["classes"]), entries[0]["of"]
    anchor = f"equal probabilities for all {classes} classes have {1 - 1 / classes:.3f} and {math.log(classes):.3f}."
    assert f"{anchor} On {of:,} images, the same for every entry." in seen.words()
    few = ("The charts name the four best; the second has the others in grey." in seen.words(), len(entries) > 4)
    assert few[0] == few[1]
    labels = [svg["aria-label"] or "" for svg in seen.all("svg")]
    errors = "; ".join(f"{entry['entry']} {entry['calibration']['ece']:.1%}" for entry in entries[:4])
    assert f"Share right against confidence, in bins. Calibration error: {errors}." in labels
    (coverage,) = [label for label in labels if label.startswith("Top-1 error among the answers")]
    best = entries[0]["risk_coverage"]
    half = next(place for place, n in enumerate(best["answered"]) if n >= of / 2)
    share, error = best["answered"][half] / of, best["wrong"][half] / best["answered"][half]
    name = entries[0]["entry"]
    assert f"{name} {error:.1%} of the surest {share:.0%}, {entries[0]['top1_error']:.1%} of all" in coverage
    assert coverage.count(" of all") == min(4, len(entries))


def test_entries_judged_on_fewer_images_or_without_probabilities_are_named(board: Board) -> None:
    first, second, third, *_ = terminal.ranked(board)
    first["calibration"] |= {"images": 400, "temperature": 1.234}
    second["calibration"] = second["risk_coverage"] = third["calibration"] = None
    seen = Page(page.render(board))
    assert seen.row(5, first["entry"])[4] == "400"
    words = seen.words()
    assert f"With a temperature, judged on images that did not fit it: {first['entry']} (1.23)." in words
    assert f"Without figures: {second['entry']} and {third['entry']}." in words
    assert "the same for every entry. With" not in words
    for entry in terminal.ranked(board):
        entry["calibration"] = entry["risk_coverage"] = None
    assert "What a confidence is worth" not in Page(page.render(board)).words()


def test_pairs_have_their_place_in_the_tree_where_one_is_known(board: Board) -> None:
    pairs = board["mistakes"]["confused"]
    pairs[0] |= {"ancestor": "animal/pets", "height": 2}
    pairs[1] |= {"ancestor": "", "height": 4}
    for pair in pairs[2:]:
        pair |= {"ancestor": "a", "height": 1}
    board["mistakes"]["by_height"] = [{"height": 2, "count": 1234}, {"height": 4, "count": 1}]
    seen = Page(page.render(board))
    rows = [row for row in seen.rows if len(row) == 4 and re.fullmatch(r"\d+ of \d+", row[2])]
    assert [row[3] for row in rows[:3]] == ["animal/pets, height 2", "all classes, height 4", "a, height 1"]
    assert "Of 1,235 wrong answers: 1,234 at height 2 and 1 at height 4." in seen.words()


def test_hit_rates_are_said_with_their_images_and_intervals(ten: tuple[Board, str], small_board: Board) -> None:
    board, words = ten[0], Page(ten[1]).words()
    best = terminal.leader(board)
    assert best is not None
    low, high = (f"{100 * (1 - end):.1f}" for end in reversed(best["top5_interval"]))
    hits = f"{100 * (1 - best['top5_error']):.1f}"
    assert (
        f"10 classes of 79 to 80 judged images. Of all 797 images {hits}% are hits (95% interval {low}–{high}%)"
        in words
    )
    assert "Highest: 0, 80 of 80 (100.0%, 95.4–100.0%). Lowest: 9, 0 of 79 (0.0%, 0.0–4.6%)." in words
    label = f"Histogram of the top-5 hit rates of {best['entry']} over 10 classes: 0 to 10% 1; 90 to 100% 9."
    assert label in [svg["aria-label"] for svg in Page(ten[1]).all("svg")]
    assert "Top-1 hit rates over the classes" in Page(page.render(small_board)).words()  # of three classes


def test_a_file_without_mistakes_still_has_a_page(board: Board) -> None:
    """As contests wrote it before they kept any."""
    whole = Page(page.render(board))
    del board["mistakes"], board["data"]["per_class_images"]
    for entry in board["entries"]:
        del entry["per_class_top5_error"], entry["calibration"], entry["risk_coverage"]
    seen = Page(page.render(board))
    assert "The surest wrong answers" not in seen.words()
    assert "hit rates" not in seen.words()
    assert "What a confidence is worth" not in seen.words()
    counts = [row[2] for row in whole.rows if len(row) == 3 and re.fullmatch(r"\d+ of \d+", row[2])]
    assert counts
    assert [row[2] for row in seen.rows if len(row) == 3 and re.fullmatch(r"\d+ of \d+", row[2])] == counts


def test_errors_by_the_size_of_objects_are_drawn_where_there_are_boxes(board: Board) -> None:
    assert "Error by the size of the object" not in Page(page.render(board)).words()
    best = terminal.leader(board)
    assert best is not None
    known = {"from": 0.5, "to": 1.0, "images": 8, "top1_error": 0.25, "top1_interval": [0.1, 0.6]}
    empty = {"from": 0.25, "to": 0.5, "images": 0, "top1_error": None, "top1_interval": None}
    board["mistakes"]["by_scale"] = {entry["entry"]: [empty, known] for entry in terminal.ranked(board)}
    seen = Page(page.render(board))
    assert "Error by the size of the object" in seen.words()
    assert f"8 of {best['of']:,} judged images have a box of their class" in seen.words()
    labels = [svg["aria-label"] or "" for svg in seen.all("svg")]
    assert any(label.endswith("that the object covers: 1/2 and more 25.0% of 8 images.") for label in labels)


def test_without_an_object_of_known_size_there_is_no_chart_of_sizes(board: Board) -> None:
    """No image with a box can be read, or all are on the blacklist."""
    empty = {"from": 0.5, "to": 1.0, "images": 0, "top1_error": None, "top1_interval": None}
    board["mistakes"]["by_scale"] = {entry["entry"]: [empty] for entry in terminal.ranked(board)}
    assert "Error by the size of the object" not in Page(page.render(board)).words()
