"""What `topfive import` does: the words of the command line turned into classes and preprocessing."""

from pathlib import Path
from typing import Any

from topfive.data.challenge import challenge_classes
from topfive.data.imageset import ClassLabel
from topfive.errors import BadFile, MissingExtra, Misused, look_up
from topfive.files import sha256
from topfive.layers.embedding import Centres
from topfive.models.foreign import SOURCES, Source, import_weights, in_words, source_of
from topfive.models.modelfile import save
from topfive.models.zoo import ZOO

CHALLENGE = "ilsvrc2012"
HUB = "hub:"


def take_in(
    weights: str, name: str, source: str | None, mean: str | None, std: str | None, classes: str | None, out: Path
) -> dict[str, Any]:
    """Write the model file `out`; the document that is printed."""
    card = look_up(name, ZOO, kind="entry")
    if source is not None and (mean is not None or std is not None):
        raise Misused(f"import: expected --source, or --mean and --std, got both; leave out --source {source}")
    if source is None and (mean is None or std is None):
        raise Misused(
            "import: expected --source, or --mean and --std: weights are worth nothing without the values of pixels "
            f"that they were fitted on; known sources: {', '.join(SOURCES)}"
        )
    prepared = source_of(source, name) if source else Source(_colours("--mean", mean), _colours("--std", std))
    if classes is None and (source is None or card.classes != len(challenge_classes())):
        raise Misused(f"import: expected --classes, {CHALLENGE} or a text file: the names of {name}'s scores in order")
    labels = challenge_classes() if classes in (None, CHALLENGE) else read_classes(Path(str(classes)))
    if out.exists():
        raise Misused(f"{out}: is there already; choose another --out")
    file = fetch(weights.removeprefix(HUB)) if weights.startswith(HUB) else Path(weights)
    model, matching, theirs = import_weights(file, name, labels, prepared)
    save(model, out)
    told = list(in_words(matching, theirs))
    if isinstance(getattr(model.classifier, model.classifier.head), Centres) and "centres.centres" not in theirs:
        told.append("no centres of classes are in the file: its codes can be used, its scores say nothing")
    return {"model": str(out), "entry": name, "classes": len(labels), "matching": told}


def fetch(place: str) -> Path:
    """A file of the Hugging Face hub, OWNER/REPO/FILE, checked against the checksum that the hub states for it.

    Raises MissingExtra without the extra `hub`, BadFile where there is no such file or it came with another checksum.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtra(f"{HUB}{place}: needs huggingface_hub; pip install 'topfive[hub]'") from None
    owner, _, rest = place.partition("/")
    repository, _, name = rest.partition("/")
    if not (owner and repository and name):
        raise Misused(f"{HUB}{place}: expected {HUB}OWNER/REPO/FILE")
    try:
        stated = huggingface_hub.HfApi().get_paths_info(f"{owner}/{repository}", [name])  # without those unknown there
        if not stated:
            raise FileNotFoundError(f"the repository has no file {name}")
        file = Path(huggingface_hub.hf_hub_download(f"{owner}/{repository}", name))
    except Exception as error:  # the hub's errors, and those of the network below it, have no common class
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{HUB}{place}: could not be fetched ({reason}); check the name and the network") from error
    large = getattr(stated[0], "lfs", None)  # small files have no checksum there
    if large is not None and large.sha256 != sha256(file):
        raise BadFile(f"{HUB}{place}: came with another checksum than the hub states; delete {file} and fetch it again")
    return file


def read_classes(path: Path) -> tuple[ClassLabel, ...]:
    """One class a line: its key, and after a space its name, which is the key where it is left out."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read as a list of classes ({error}); give one class a line") from error
    labels = tuple(ClassLabel(key, name.strip() or key) for key, _, name in (line.partition(" ") for line in lines))
    if len({label.key for label in labels}) < max(2, len(labels)):
        raise BadFile(f"{path}: expected two classes or more with keys of their own, got {len(labels)} lines; mend it")
    return labels


def _colours(option: str, text: str | None) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in str(text).split(","))
    except ValueError:
        raise Misused(f"{option}: expected three numbers, R,G,B in [0, 1], got {text!r}") from None
    if not all(0 <= value <= 1 for value in (red, green, blue)):  # false for what is not a number
        raise Misused(f"{option}: expected numbers in [0, 1], got {text!r}; divide those of bytes by 255")
    return red, green, blue
