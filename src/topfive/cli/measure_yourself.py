"""What `topfive measure-yourself` does: a sitting in the browser, and the person's place beside a contest's entries."""

import logging
from pathlib import Path
from typing import Any

from topfive.data import open_data
from topfive.data.imageset import ImageSet
from topfive.errors import Misused, UnknownName
from topfive.evaluation.person import place
from topfive.evaluation.scores import Scores
from topfive.leaderboard.contest import scores_of
from topfive.serving.page import check_extra, serve
from topfive.serving.sitting import Sitting

log = logging.getLogger("topfive")

BOARD = "leaderboard.json"


def measure(data: str, images: int, seed: int, board: Path | None, out: Path | None) -> dict[str, Any]:
    """Ask for what is not answered yet; the document that is printed."""
    check_extra()
    found = open_data(data)
    log.info("%s", found.to_text())
    folder = board or Path("runs") / found.name
    machines = machines_of(folder, found, asked=board is not None)
    sitting = Sitting(found, images, seed, out or folder / "person.safetensors")

    def placed() -> dict[str, Any]:
        assert sitting.scores is not None, "there is no place before the first answer"
        return place(sitting.scores, machines, len(sitting.split))

    if sitting.now() is not None:
        if sitting.place:
            log.info("going on after %d of %d images, which %s holds", sitting.place, len(sitting.rows), sitting.file)
        serve(
            sitting, placed, lambda address: log.info("open in a browser: %s\nCtrl-C stops; nothing is lost", address)
        )
    log.info("your guesses: %s", sitting.file)
    return placed()


def machines_of(folder: Path, data: ImageSet, asked: bool) -> dict[str, Scores]:
    """Scores of a contest's entries on these images; none where there is no such contest, unless it was asked for."""
    if not (folder / BOARD).exists():
        if asked:
            raise UnknownName(f"--board {folder}: expected the folder of a finished contest, found no {BOARD} in it")
        return {}
    machines = scores_of(folder)
    if all(scores.data == data.manifest for scores in machines.values()):
        return machines
    if asked:
        raise Misused(f"--board {folder}: is a contest on other images than {data.name}'s; hold one on the same data")
    log.info("%s: is a contest on other images and is passed over", folder)
    return {}
