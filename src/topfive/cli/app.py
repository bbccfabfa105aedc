"""Verbs over the whole library.

Results go to stdout (`--json` for machines), progress to stderr; exit 0 done, 1 failed, 2 misused, 130 stopped.
"""

import json
import logging
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="topfive",
    help="The whole ImageNet Challenge on your own images: train, judge and rank every era's classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="`digits`, or a folder; its layout is detected and said.")]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, or the run folder that holds one.")]


def main() -> None:
    """Run the command line: errors become one sentence on stderr and an exit code."""
    from topfive.cli.memory import reuse_maps
    from topfive.errors import TopfiveError

    # Threads that wait spin for a few microseconds and then sleep: docs/architecture.md, "Speed", has the figures.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    reuse_maps()
    # Images have a limit of their own, `data.decode.MAX_PIXELS`; Pillow's warning from 89 million px on adds nothing.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("topfive").setLevel(logging.INFO)
    try:
        app()
    except TopfiveError as error:
        print(f"topfive: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if ending.code == 130:  # typer's word for a KeyboardInterrupt
            print("topfive: stopped; the same command begins anew, but for what it has written", file=sys.stderr)
        raise
    except OSError as error:  # a folder that may not be entered, a disk that is gone
        where = f"{error.filename}: " if error.filename else ""
        print(f"topfive: {where}{error.strerror or error}; check that you may read and write there", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """The whole ImageNet Challenge on your own images: train, judge and rank every era's classifier."""
    if version:
        import topfive

        print(topfive.__version__)
        raise typer.Exit
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and context.invoked_subcommand != "evaluate":
        from topfive.errors import Misused

        verb = context.invoked_subcommand
        raise Misused(f"{verb}: runs as one process, only evaluate as several; leave out torchrun")


@app.command()
def contest(
    data: Data,
    entries: Annotated[
        str, typer.Option(help="Entries and model files, separated by commas; all that suit DATA.")
    ] = "",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="For everything together.", show_default="10")] = None,
    plan: Annotated[Path | None, typer.Option(help="Repeat the contest of this plan.json in another --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write.", show_default="runs/NAME")] = None,
    max_mb: Annotated[float | None, typer.Option(min=0, help="Recommend only models of at most so many MB.")] = None,
    max_ms: Annotated[
        float | None, typer.Option(min=0, help="Recommend only models of at most so many ms an image.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train, judge and rank every era's classifier on DATA. Example: topfive contest digits --minutes 3"""
    from topfive.leaderboard.contest import contest as hold

    names = [name.strip() for name in entries.split(",") if name.strip()]
    board = hold(data, names, minutes, plan, out, max_mb, max_ms)
    folder = out or Path("runs") / board["name"]
    if as_json:
        _print_json(board)
    else:
        from rich.console import Console

        from topfive.leaderboard.terminal import table

        Console(width=max(100, Console().width)).print(table(board))
        picked = board["pick"]
        print(
            f"pick: {picked['entry']}, {picked['why']}\n  {picked['command']}"
            if picked
            else "pick: no entry is within the limits"
        )
        print(f"report: {folder / 'report.html'}")
    if any(row["status"] == "failed" for row in board["entries"]):
        raise typer.Exit(1)


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An entry; `topfive list` names them.")],
    data: Data,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's variant or name, or a TOML file.", show_default="small")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(min=0.01, help="Stretch the recipe to so many epochs.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/NAME-on-DATA")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Decoding threads.", show_default="one a core")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only measure and forecast.")] = False,
    as_json: Json = False,
) -> None:
    """Train NAME on DATA by its recipe into a run folder. Example: topfive train lenet5 digits --out runs/lenet5"""
    from topfive.data import open_data
    from topfive.errors import look_up
    from topfive.leaderboard.forecast import forecast as forecast_of
    from topfive.models.zoo import ZOO
    from topfive.training.run import train as fit
    from topfive.training.run import try_out
    from topfive.training.tailoring import fit_recipe

    look_up(name, ZOO, kind="entry")  # before any image is opened
    images = open_data(data)
    logging.getLogger("topfive").info("%s", images.to_text())
    fitted, changes = fit_recipe(name, images, recipe, dict(_pair(text) for text in settings or []))
    if epochs:
        fitted = fitted.with_epochs(epochs)
    for change in changes:
        logging.getLogger("topfive").info("%s", change)
    if dry_run:
        if fitted.epochs is None:
            stages, need = [stage.kind for stage in fitted.stage], forecast_of(name, images, fitted).need
            _show({"entry": name, "stages": stages, "forecast_minutes": need / 60}, as_json)
            return
        found = try_out(name, images, fitted)
        forecast = {
            "entry": name,
            "steps": found.steps,
            "choice": str(found.choice),
            "forecast_minutes": found.seconds / 60,
            "tried": {str(trial.choice): trial.images_per_second for trial in found.trials},
        }
        _show(forecast, as_json)
        return
    folder = out or Path("runs") / f"{name}-on-{images.name}"
    run = fit(name, images, folder, recipe=fitted, resume=resume, workers=workers)
    for image in run.broken:
        logging.getLogger("topfive").warning("skipped in training: %s", image.reason)
    _show(
        {
            "entry": name,
            "run": str(run.folder),
            "minutes": run.seconds / 60,
            "skipped": [image.id for image in run.broken],
        },
        as_json,
    )
    judge_it = f"topfive evaluate {shlex.quote(str(run.folder))} {shlex.quote(data)}"
    print(f"topfive: judge it by: {judge_it}", file=sys.stderr)


@app.command()
def evaluate(
    model: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Model files or run folders; several: a table.")
    ],
    data: Data,
    split: Annotated[str | None, typer.Option(help="Which split.", show_default="test, else val")] = None,
    crops: Annotated[str, typer.Option(help="Crops of each image: 1, 5, 10, 144, dense@256+288; 1,10: a table.")] = "1",
    scores: Annotated[Path | None, typer.Option(help="Keep the scores file here; of a table a folder of them.")] = None,
    submission: Annotated[
        Path | None, typer.Option(help="Write the five best classes as the Challenge takes them; .csv: as Kaggle.")
    ] = None,
    tree: Annotated[str | None, typer.Option(help="What mistakes cost: a tree's file, `folders`, or a kit.")] = None,
    max_error: Annotated[float | None, typer.Option(help="Abstain: of the answers so many err, 0 to 1.")] = None,
    boxes: Annotated[str | None, typer.Option(help="Localisation by a simple box: whole or centre.")] = None,
    real: Annotated[Path | None, typer.Option(help="ReaL's real.json: the error by several true labels.")] = None,
    select: Annotated[
        bool, typer.Option("--select", help="A line more: the models greedily chosen on a fifth, judged on the rest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 error of MODEL on DATA. Example: topfive evaluate runs/lenet5 digits"""
    from topfive.cli.evaluate import answer

    told = answer(model, data, split, crops, scores, submission, tree, boxes, max_error, real, select, as_json)
    if told is not None:
        print(told)


@app.command()
def calibrate(
    model: ModelPath,
    data: Data,
    split: Annotated[str | None, typer.Option(help="Which split.", show_default="val, else half of test")] = None,
    as_json: Json = False,
) -> None:
    """Fit MODEL's temperature on DATA and keep it in MODEL. Example: topfive calibrate runs/lenet5 digits"""
    from topfive.data import open_data
    from topfive.evaluation.temperature import calibrate as fit

    _show(fit(model, open_data(data), split), as_json)


@app.command()
def predict(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")],
    top: Annotated[int, typer.Option(min=1, help="How many names an image.")] = 5,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line an image and guess as CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Five names with their probabilities for each IMAGE. Example: topfive predict runs/lenet5 scan.png"""
    from topfive.cli.predict import answers, csv_line, pictures
    from topfive.errors import Misused
    from topfive.models import load

    if as_csv and as_json:
        raise Misused("predict: expected one form of answer, got --csv and --json; leave one out")
    loaded = load(model)
    paths = [path for given in images for path in pictures(given)]
    rows: list[dict[str, Any]] = []
    failed = 0
    if as_csv:
        print(csv_line("image", "place", "key", "name", "probability"))
    for path, guesses in answers(loaded, paths, top):
        if guesses is None:
            failed += 1
        elif as_csv:
            for place, guess in enumerate(guesses, 1):
                print(csv_line(str(path), place, guess.key, guess.name, f"{guess.probability:.6f}"))
        elif as_json:
            rows.append({"image": str(path), "guesses": [vars(guess) for guess in guesses]})
        else:
            print(path)
            for guess in guesses:
                key = f" ({guess.key})" if guess.key != guess.name else ""
                print(f"  {100 * guess.probability:5.1f} %  {guess.name}{key}")
    if as_json:
        _print_json(rows)
    if failed:
        raise typer.Exit(1)


@app.command(name="list")
def list_(as_json: Json = False) -> None:
    """The entries of the lineage, oldest idea first. Example: topfive list"""
    from topfive.models.zoo import ZOO

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "family": card.family,
            "year": card.year,
            "input": f"3x{card.image}x{card.image}",
            "params": card.params,
            "macs": card.macs,
            "published": card.published,
            "source": card.source,
        }
        for name, card in ZOO.items()
    ]
    if as_json:
        _print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for column in ("name", "family"):
        shown.add_column(column, no_wrap=True)
    for column in ("year", "input", "params", "MACs"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("published")
    for row in rows:
        counts = _grouped(row["params"]), _grouped(row["macs"])
        shown.add_row(row["name"], row["family"], str(row["year"]), row["input"], *counts, row["published"] or "")
    Console(width=max(130, Console().width)).print(shown)


@app.command()
def show(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME [NAME]", help="An entry, a recipe, or two recipes to compare.")
    ],
    image: Annotated[int | None, typer.Option(help="Side of an entry's input, px.", show_default="the paper's")] = None,
    as_json: Json = False,
) -> None:
    """The layers of an entry, a recipe, or how two recipes differ. Example: topfive show alexnet"""
    from topfive.cli.show import show as describe

    print(describe(names, image, as_json))


@app.command(name="import")
def import_(
    weights: Annotated[
        str, typer.Argument(metavar="FILE", help=".safetensors, .pth, .pt, .bin or .npz; or hub:OWNER/REPO/FILE.")
    ],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The entry that they are of.")],
    source: Annotated[
        str | None, typer.Option(help="Who prepared the images: torchvision, caffe or tensorflow.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="R,G,B in [0, 1], in place of --source.")] = None,
    std: Annotated[str | None, typer.Option(help="R,G,B in [0, 1], in place of --source.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="ilsvrc2012, or a text file with a key and a name a line, in score order.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The model file.", show_default="NAME.safetensors")] = None,
    as_json: Json = False,
) -> None:
    """A model file from other weights. Example: topfive import r.pth --as resnet18_b --source torchvision"""
    from topfive.cli.weights import take_in

    taken = take_in(weights, name, source, mean, std, classes, out or Path(f"{name}.safetensors"))
    if as_json:
        _print_json(taken)
        return
    print("\n".join(taken["matching"]))
    print(f"model: {taken['model']}")


@app.command(name="measure-yourself")
def measure_yourself(
    data: Data,
    images: Annotated[int, typer.Option(min=1, help="How many judged images, of all classes in proportion.")] = 50,
    seed: Annotated[int, typer.Option(help="Chooses the images and their order.")] = 0,
    board: Annotated[
        Path | None, typer.Option(help="The folder of a contest on DATA.", show_default="runs/NAME")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The scores file of your guesses.", show_default="runs/NAME/person.safetensors")
    ] = None,
    as_json: Json = False,
) -> None:
    """Guess images of DATA yourself: your place among the machines. Example: topfive measure-yourself digits"""
    from topfive.cli.measure_yourself import measure
    from topfive.evaluation.person import to_text

    placed = measure(data, images, seed, board, out)
    if as_json:
        _print_json(placed)
    else:
        print(to_text(placed))


def _pair(text: str) -> tuple[str, str]:
    from topfive.errors import Misused

    key, sign, value = text.partition("=")
    if not sign:
        raise Misused(f"--set {text}: expected KEY=VALUE, such as stage.0.epochs=5")
    return key.strip(), value.strip()


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(document)
        return
    for key, value in document.items():
        print(f"{key.replace('_', ' ')}: {_in_words(value)}")


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"\n  {key}: {_in_words(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(one) for one in value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _grouped(count: int | None) -> str:
    return "" if count is None else f"{count:,}"
