"""The contest in words, and its table in a terminal of 100 columns."""

from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from topfive.leaderboard import terminal

Board = dict[str, Any]


def printed(board: Board, width: int = 100) -> str:
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(terminal.table(board))
    return capture.get()


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["ten", "three", "hundred"])
def test_a_hundred_columns_hold_every_name_and_figure_whole(name: str, named_board: Callable[[str], Board]) -> None:
    board = named_board(name)
    lines = printed(board).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    for entry in terminal.ranked(board):
        (row,) = [line.split() for line in lines if line.split()[:2] == [str(entry["rank"]), entry["entry"]]]
        assert row[2] == f"{100 * entry['top1_error']:.1f}%"
        assert " ".join(row).endswith(f"{terminal.figure(entry['ms_per_image'])} {terminal.figure(entry['file_mb'])}")


def test_failed_entries_come_last_with_their_sentence(board: Board) -> None:
    text = printed(board)
    assert [line.split() for line in text.splitlines()].index(["–", "zf_small", "failed"]) > 10
    assert flat("zf_small failed: its loss was not a finite number in epoch 3; try --set") in flat(text)


def test_the_table_says_what_leads_why_no_top5_and_what_ranks_mean(small_board: Board) -> None:
    text = flat(printed(small_board))
    assert flat(terminal.answer(small_board)) in text
    assert "not defined with 3 classes: it needs more than five" in text
    assert "Evaluated 90 of 90 images" in text
    assert "not the training seeds" in text


def test_entries_whose_recipe_was_cut_are_marked(small_board: Board) -> None:
    first, second = small_board["entries"][:2]
    first["changes"] = ["mirroring turned off", "fitted on 200 of 1,000 images, to keep to the minutes"]
    second["changes"] = ["mirroring turned off"]
    text = printed(small_board)
    assert f"{first['year']}, shortened" in text and f"{second['year']}, shortened" not in text
    assert "Shortened: its recipe was cut to keep to the minutes; report.html says by how much." in flat(text)
    first["changes"] = []
    assert "hortened" not in printed(small_board)


def test_entries_of_other_versions_or_machines_are_named_together(board: Board) -> None:
    first, second, third = [entry["entry"] for entry in terminal.ranked(board)][:3]
    entries, here = {entry["entry"]: entry for entry in board["entries"]}, board["machine"]
    assert terminal.elsewhere(board) == []  # a file of before says nothing of its entries
    for name in (first, second, third):
        entries[name] |= {"versions": {"topfive": "0.1.0", "torch": "2.13.0", "threads": "1"}, "machine": dict(here)}
    assert terminal.elsewhere(board) == []
    entries[first]["versions"]["torch"] = entries[third]["versions"]["torch"] = "2.12.0"
    entries[second]["machine"] |= {"cores": 8, "torch": "2.12.0"}
    entries[second]["versions"] = {}  # another library's weights
    assert terminal.elsewhere(board) == [
        f"{first} and {third}: made with torch 2.12.0", f"{second}: timed with torch 2.12.0 and cores 8"
    ]  # fmt: skip


def test_a_name_is_text_not_markup(small_board: Board) -> None:
    small_board["entries"][0]["entry"] = "[red]hog[/red]"
    small_board["comparisons"] = []
    assert "[red]hog[/red]" in printed(small_board)


def three(a_beats_c: bool, b_beats_c: bool) -> Board:
    """Entries a (10%), b (12%) and c (30%) on 100 images; a and b are never told apart."""
    entries = [
        {"entry": name, "year": 2012 + i, "rank": 1, "top1_error": error, "top1_interval": [error - 0.05, error + 0.05],
         "of": 100, "evaluated": 100, "external_data": False}
        for i, (name, error) in enumerate([("c", 0.30), ("b", 0.12), ("a", 0.10)])
    ]  # fmt: skip
    pairs = [("a", "b", 6, 4, False), ("c", "a", 3, 23, a_beats_c), ("b", "c", 20, 2, b_beats_c)]
    comparisons = [
        {"a": a, "b": b, "only_a_right": x, "only_b_right": y, "p": 0.5, "p_holm": 0.5, "significant": sure}
        for a, b, x, y, sure in pairs
    ]
    return {"entries": entries, "comparisons": comparisons, "data": {"judged": "val", "classes": [{}] * 6}}


def test_verdicts_read_the_same_from_both_sides() -> None:
    said = terminal.verdicts(three(True, True))
    assert (said["a", "c"], said["c", "a"], said["a", "b"], said["b", "a"]) == (
        "better", "worse", "not told apart", "not told apart",
    )  # fmt: skip
    assert terminal.beside(three(True, False), "c", "worse") == ["a"]
    assert len(said) == 6


def test_the_answer_names_what_the_leader_beats_and_what_it_does_not() -> None:
    lead = "a leads with 10.0% top-1 error (95% interval 5.0–15.0%) on the 100 val images, "
    assert terminal.answer(three(True, True)) == lead + "significantly better than c, but not told apart from b."
    alike = "but these images cannot tell it apart from any of the 2 others."
    assert terminal.answer(three(False, False)) == lead + alike


def test_a_leader_that_others_are_level_with_says_so() -> None:
    board = three(False, False)
    board["entries"][1]["top1_error"] = 0.10
    assert " on the 100 val images, level with a, but these images cannot tell it apart" in terminal.answer(board)


def test_the_answer_owns_up_to_external_data() -> None:
    board = three(True, True)
    board["entries"][2]["external_data"] = True
    own = "It was trained with external data; the best without is b at 12.0% (7.0–17.0%)."
    assert terminal.answer(board).endswith(own)


@pytest.mark.parametrize(
    ("pick", "told", "tail"),
    [("a", (True, True), "; the pick, a, is not told apart from b."),
     ("a", (False, False), "; the pick, a, is not told apart from any of the 2 others."),
     ("c", (True, True), "."), ("c", (True, False), "; the pick, c, is not told apart from b.")],
)  # fmt: skip
def test_that_the_judged_images_chose_is_said(pick: str, told: tuple[bool, bool], tail: str) -> None:
    """Law 10: the least of several errors on the images that judge, with its plain interval."""
    board = three(*told) | {"pick": {"entry": pick}}
    said = "Leader and pick are chosen on the images that judge them, so their errors are on average a little too low"
    assert terminal.chosen(board) == said + tail


def test_where_limits_chose_or_nothing_was_chosen_no_pick_is_too_low(small_board: Board) -> None:
    leader = "The leader is chosen on the images that judge it, so its error is on average a little too low."
    for pick in (None, small_board["pick"] | {"of": 1}):
        small_board["pick"] = pick
        assert terminal.chosen(small_board) == leader
        assert leader in flat(printed(small_board))
    small_board["entries"] = small_board["entries"][:1]
    assert terminal.chosen(small_board) == ""
    assert "on average" not in printed(small_board)


def test_the_answer_with_one_entry_or_none() -> None:
    board = three(True, True)
    board["entries"] = board["entries"][2:]
    assert "a has 10.0% top-1 error" in terminal.answer(board)
    assert "nothing to compare" in terminal.answer(board)
    board["entries"] = []
    assert terminal.answer(board).startswith("No entry finished")


def test_entries_judged_on_unlike_numbers_of_images_are_named() -> None:
    entries = three(True, True)["entries"]
    entries[0]["evaluated"] = 98
    assert terminal.evaluated(entries) == "Evaluated 98 of 100 images: c. Evaluated 100 of 100 images: b and a."


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9_996, "10.0 k"), (99_960, "100 k"), (2.5e13, "25.0 T")],
)
def test_magnitudes_keep_three_figures(count: float, text: str) -> None:
    assert terminal.magnitude(count) == text
