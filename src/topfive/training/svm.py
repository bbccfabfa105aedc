"""The `svm` stage: linear SVMs on a classifier's features: codes of all training images, c, the fit, probabilities."""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from topfive import __version__ as version
from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, Split, drawn, evenly, fingerprint
from topfive.errors import BadFile, Misused
from topfive.evaluation.calibration import fit_sharpness
from topfive.features.quantiser import WORDS, ProductQuantiser
from topfive.files import flush, mapped, read_tensors, write_tensors
from topfive.models.coded import CodedSvm
from topfive.progress import say_took
from topfive.recipes.stages import Svm
from topfive.training.codebook import KINDS, check_learned, fit_quantiser, fitted_channels
from topfive.training.codes import KeptCodes, extract_codes
from topfive.training.coordinates import Scale, Span
from topfive.training.linear_svm import choose_c, solve

log = logging.getLogger("topfive")

SAMPLE = 2000  # images at most whose codes set the scale and the quantiser
SAMPLED = 1 << 28  # numbers of them at most, 1 GiB, but for as many codes as the quantiser has words
SPANNED = 5000  # codes at most whose span is computed: it takes several times their number squared, in float64
LOOKS = 60.0  # at all codes until an SVM has converged, about: 45 to 110 for systems on digits
DEARER = 30  # times a multiplication of a matrix product: one of a look, whose numbers come from memory
CODES = "checkpoint/codes_{part}.safetensors"
PACKED = ".bytes"  # in place of its ending: the codes themselves, where they are kept at one bit a number
WORTH_KEEPING = 30.0  # seconds of coding


def fit_svm(
    classifier: nn.Module, stage: Svm, split: Split, geometry: Geometry, seed: int, workers: int | None = None,
    folder: Path | None = None,
) -> list[Broken]:  # fmt: skip
    """Fit `classifier.svm` and `classifier.sharpness` in place; the training images that could not be read.

    folder: where codes that took long are kept, so that a run that is stopped does not compute them again.

    With `late_fusion` each channel has SVMs of its own, and the margin of an image is the mean of theirs, each as sharp
    as its own images say; together they are one layer again. c and a sharpness are chosen on images that the SVM of
    that moment has not seen; then the SVM is fitted again on all of them (law 10).
    """
    if stage.images is not None and stage.images < len(split):
        split = drawn(split, stage.images, seed)
    machine = coded_of(classifier)
    for name, channel in machine.channels.items():
        check_learned(name, channel, KINDS, before="svm")
    folds = draw_folds(split, stage, seed)
    parts = [Part("all", machine.body, machine.svm.in_features)]
    if stage.late_fusion and len(machine.channels) > 1:
        parts = [Part(name, channel, channel.length) for name, channel in fitted_channels(machine, None).items()]
    files = [None if folder is None else folder / code_file(part, machine, stage, split, geometry) for part in parts]
    fits = [
        fit_part(part, machine, stage, split, geometry, folds, seed, workers, file)
        for part, file in zip(parts, files, strict=True)
    ]
    scales, sharpness = [1.0], fits[0].sharpness
    if len(fits) > 1:
        scales = [fit.sharpness / len(fits) for fit in fits]
        margins = torch.stack([scale * fit.margins for scale, fit in zip(scales, fits, strict=True)]).sum(0)
        sharpness = fit_sharpness(margins, fits[0].held_out_labels) if len(margins) else 1.0
    with torch.no_grad():
        scaled = [scale * fit.weights for scale, fit in zip(scales, fits, strict=True)]
        machine.svm.weight.copy_(torch.cat([weights[:, :-1] for weights in scaled], 1))
        machine.svm.bias.copy_(torch.stack([weights[:, -1] for weights in scaled]).sum(0))
        machine.sharpness.fill_(sharpness)
    return fits[0].broken


def draw_folds(split: Split, stage: Svm, seed: int) -> Tensor:
    """The fold in which each image is held out, (images,), from its id; -1: in none."""
    # Another column than the one that chose the images: the lowest of that one would all be held out.
    draws = torch.from_numpy(uniform(seed, 0, id_keys(split.ids), 2)[:, 1])
    folds = stage.folds_of(len(split))
    return (draws * folds).long() if folds > 1 else (draws < stage.held_out).long() - 1


class Part(NamedTuple):
    """What gives `length` of the numbers of a code: all channels, or one."""

    name: str
    give: Callable[[Tensor], Tensor]
    length: int


class Gathered(NamedTuple):
    """Codes (views x N, D), or (views x N, P) bytes of the quantiser's words, of the images in `rows`, scaled."""

    codes: Tensor
    rows: Tensor
    scale: Scale
    words: Tensor
    broken: list[Broken]


class PartFit(NamedTuple):
    """SVMs on one part of the codes. weights: (classes, D + 1). margins: (held out, classes), before the last fit."""

    weights: Tensor
    sharpness: float
    margins: Tensor
    held_out_labels: Tensor
    broken: list[Broken]


def fit_part(
    part: Part, machine: CodedSvm, stage: Svm, split: Split, geometry: Geometry, folds: Tensor, seed: int,
    workers: int | None, file: Path | None,
) -> PartFit:  # fmt: skip
    """Fit SVMs on what `part` gives of the training images. folds: (images,), as `draw_folds` gives them.

    file: where codes that took long are kept, for a run that is stopped before its SVMs are fitted.
    """
    found = kept_in(file, lambda: gather(part, machine, stage, split, geometry, workers, file))
    codes: Tensor | KeptCodes = found.codes
    if len(found.words):
        codes = KeptCodes(ProductQuantiser.of(found.words, part.length), found.codes)
    if all(bool((some == found.codes[:1]).all()) for some in torch.split(found.codes, SAMPLE)):
        log.warning("  all codes are equal, so every image will get one answer; give other images, or settings such "
                    "as a smaller penalty")  # fmt: skip
    views = len(codes) // len(found.rows)
    labels, folds = (one[found.rows].repeat(views) for one in (split.labels, folds))
    log.info("  %d codes of %d dimensions for %d SVMs", len(codes), part.length, machine.svm.out_features)
    started, span = time.perf_counter(), None
    if isinstance(codes, Tensor) and is_spanned(len(codes), part.length, stage.fits_of(len(found.rows))):
        span = Span.of(codes)
        codes = span.coordinates
    best = choose_c(codes, labels, folds, stage, machine.svm.out_features, seed)
    truths = labels[folds >= 0][: len(best.margins)]
    if not len(truths):
        log.info("  no image is held out of so few: c = %g, and probabilities as its margins are", best.c)
    sharpness = fit_sharpness(best.margins, truths) if len(truths) else 1.0
    weights = solve(codes, labels, best.weights, best.c, stage, seed)
    weights = found.scale.undone(weights if span is None else span.undone(weights))
    say_took("solving", time.perf_counter() - started, len(found.rows))
    return PartFit(weights, sharpness, best.margins, truths, found.broken)


def is_spanned(codes: int, length: int, fits: int) -> bool:
    """Whether so many SVMs are fitted sooner in the coordinates of the codes' span, though it has to be found first."""
    saved = fits * LOOKS * codes * (length - codes) * DEARER
    return codes <= SPANNED and span_multiplications(codes, length) < saved


def span_multiplications(codes: int, length: int) -> int:
    """That the span of so many codes takes: products of all pairs, and their eigenvectors."""
    return codes**2 * (length + 10 * codes)


def is_packed(codes: int, length: int, stage: Svm) -> bool:
    """Whether so many codes are kept at one bit a number: where they would take more memory than the stage allows."""
    return codes * length * 4 / 2**30 > stage.memory_gb


def code_file(part: Part, machine: CodedSvm, stage: Svm, split: Split, geometry: Geometry) -> str:
    """Where codes are kept, named by all that they follow from: other images or settings never find them."""
    digest = hashlib.sha256(f"{version} {stage.model_dump_json()} {geometry} {split.ids}".encode())
    digest.update(fingerprint(split).encode())
    for name, learned in machine.channels.state_dict().items():
        digest.update(name.encode() + learned.cpu().contiguous().numpy().tobytes())
    return CODES.format(part=f"{part.name}_{digest.hexdigest()[:12]}")


def gather(
    part: Part, machine: CodedSvm, stage: Svm, split: Split, geometry: Geometry, workers: int | None, file: Path | None
) -> Gathered:  # fmt: skip
    """The codes of all training images, scaled and packed as the stage has it; packed ones beside `file`, if any."""
    started, what = time.perf_counter(), f"{part.name} codes"
    too_large = is_packed(len(split) * stage.views, part.length, stage)
    scale, quantiser = Scale(torch.zeros(part.length), torch.ones(part.length)), None
    if stage.standardise or too_large:
        few = evenly(split, min(SAMPLE, max(WORDS, SAMPLED // part.length)))
        sample = extract_codes(machine, few, geometry, workers, part=part.give, what=f"{what} of a sample").codes
        scale = Scale.of(sample) if stage.standardise else scale
        if too_large:
            log.info("  more than %g GiB of codes: kept at one bit a number", stage.memory_gb)
            quantiser = fit_quantiser(scale(sample) if stage.standardise else sample)

    def packed(images: Tensor) -> Tensor:
        scaled = scale(part.give(images)) if stage.standardise else part.give(images)
        return scaled if quantiser is None else quantiser.encode(scaled)

    def room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        try:
            if quantiser is not None and file is not None:
                return mapped(file.with_suffix(PACKED), shape, dtype)
        except BadFile as error:
            log.warning("%s; the codes are held in memory", error)
        return torch.empty(shape, dtype=dtype)

    found = extract_codes(machine, split, geometry, workers, stage.mirror, packed, what, room)
    say_took("coding", time.perf_counter() - started, len(split))
    words = torch.zeros(0) if quantiser is None else quantiser.words
    return Gathered(found.codes, torch.tensor(found.rows), scale, words, found.broken)


def kept_in(file: Path | None, make: Callable[[], Gathered]) -> Gathered:
    """What is kept in `file` and beside it; else what `make` gives, kept there if it took long."""
    if file is not None and file.exists():
        tensors, told = read_tensors(file, "file of codes", "delete it to compute them again")
        if told["packed"]:
            place = file.with_suffix(PACKED)
            if not place.exists() or place.stat().st_size < math.prod(told["packed"]):
                raise BadFile(
                    f"{place}: is not the whole file that {file.name} tells of; delete both to compute them again"
                )
            tensors["codes"] = mapped(place, tuple(told["packed"]), torch.uint8)
        scale = Scale(tensors["mean"], tensors["deviation"])
        images = [Broken(**image) for image in told["broken"]]
        return Gathered(tensors["codes"], tensors["rows"], scale, tensors["words"], images)
    started = time.perf_counter()
    found = make()
    if file is not None and time.perf_counter() - started > WORTH_KEEPING:
        told = {"broken": [asdict(image) for image in found.broken], "packed": None}
        tensors = {"rows": found.rows, "words": found.words, **found.scale._asdict()}
        if found.codes.untyped_storage().filename is None:
            tensors["codes"] = found.codes
        else:  # they lie there
            told["packed"] = list(found.codes.shape)
            flush(file.with_suffix(PACKED))
        try:
            write_tensors(file, tensors, told)
        except BadFile as error:  # a convenience must not end the run
            log.warning("%s; if the run is stopped, its codes are computed again", error)
    return found


def drop_codes(folder: Path) -> None:
    """Remove the codes that were kept for a run that has come to its end."""
    for file in folder.glob(CODES.format(part="*")):
        file.unlink()
    for file in folder.glob(str(Path(CODES.format(part="*")).with_suffix(PACKED))):
        file.unlink()


def coded_of(classifier: nn.Module) -> CodedSvm:
    """The classifier as one whose `svm` and `sharpness` are fitted; Misused for a network."""
    if not isinstance(classifier, CodedSvm):
        raise Misused(
            f"recipe: an svm stage fits hand-made entries such as hog_svm, got {type(classifier).__name__}; use sgd"
        )
    return classifier
