"""What a recipe may say, table by table: geometry, values and the stages of a run. An unknown key is an error."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and so are infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Geometry(Strict):
    """Side of the crop in px, and of the shorter side before it; both follow the entry and the images when left out."""

    crop: Count | None = None
    resize_short: Count | None = None
    interpolation: Literal["bilinear", "bicubic", "area"] = "bilinear"


class Values(Strict):
    """What the classifier's `normalize` subtracts from the pixels, computed on the training images, and their unit.

    subtract: the mean of each channel, the mean image, or nothing. unit: `std` divides by each channel's deviation,
    `one` leaves [0, 1], `byte` gives [0, 255], which the weight initialisation of the 2012 nets presumes.
    """

    subtract: Literal["none", "channel", "image"] = "channel"
    unit: Literal["std", "one", "byte"] = "std"


class Augment(Strict):
    """Which box of an image is seen, and whether mirrored; the kinds are those of `data.augment`."""

    kind: Literal["none", "pad_crop", "random_crop", "resized_crop", "scale_jitter"] = "none"
    padding: Annotated[int, Field(ge=0)] = 0  # px of the crop, for pad_crop
    area: tuple[Part, Part] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    short: tuple[Count, Count] = (256, 480)
    mirror: bool = False
    colour: Literal["none", "pca"] = "none"


class Optimizer(Strict):
    """SGD with momentum, as `torch.optim.SGD` defines it."""

    lr: Positive
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay_norm_and_bias: bool = True  # whether weight decay also pulls on biases and normalisation weights

    @model_validator(mode="after")
    def _consistent(self) -> "Optimizer":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got 0; set nesterov = false")
        return self


class Schedule(Strict):
    """The learning rate over a run as a multiple of `optimizer.lr`; see `training.schedule`."""

    kind: Literal["constant", "step", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0)] = 0.0  # epochs of linear warm-up from `warmup_from`
    warmup_from: Share = 0.0  # as a fraction of lr
    drop_at: tuple[Positive, ...] = ()  # epochs, for step
    factor: Share = 0.1


class Precision(Strict):
    """How the arithmetic is done; `auto` is measured on the machine at the start of a run and then kept."""

    layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    autocast: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: Literal["auto", "yes", "no"] = "auto"


class Sgd(Strict):
    """A stage that trains a network by stochastic gradient descent on the cross entropy."""

    kind: Literal["sgd"] = "sgd"
    epochs: Positive
    most_steps: Count | None = None  # the run is no longer than this, however many images an epoch has
    batch_size: Count  # images per optimizer step, all devices together
    micro_batch: Count | None = None  # images per forward pass; the whole batch when left out
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    label_smoothing: Share = 0.0
    clip_norm: Positive | None = None  # largest L2 norm of all gradients together
    ema_decay: Share | None = None  # exponential moving average of the weights, per step; judged in their place
    precision: Precision = Precision()

    def steps(self, per_epoch: int) -> int:
        """The length of the stage where an epoch is that many steps; at least one."""
        whole = max(1, round(self.epochs * per_epoch))
        return whole if self.most_steps is None else min(whole, self.most_steps)

    @model_validator(mode="after")
    def _steps_lie_in_the_run(self) -> "Sgd":
        if self.schedule.warmup >= self.epochs:
            raise ValueError(
                f"schedule.warmup ({self.schedule.warmup:g} epochs) must be shorter than epochs ({self.epochs:g})"
            )
        if late := [drop for drop in self.schedule.drop_at if drop >= self.epochs]:
            raise ValueError(
                f"schedule.drop_at ({late[0]:g} epochs) must lie before the end ({self.epochs:g} epochs); "
                "--epochs moves the drops along"
            )
        return self


FEW_IMAGES = 5000  # a tenth of which would choose c by a few hundred answers


class Svm(Strict):
    """A stage that fits one-vs-rest linear SVMs with squared hinge loss on the classifier's features."""

    kind: Literal["svm"] = "svm"
    c: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        1.0  # of several, the best that cross-validation met
    )
    solver: Literal["auto", "newton", "sgd"] = "auto"  # auto: averaged SGD where codes are quantised, else Newton's
    iterations: Count = 100  # of Newton's method, at most; it ends where it has converged
    passes: Count = 10  # of averaged SGD over the codes; 1,000 steps at least
    held_out: Annotated[float, Field(gt=0, lt=1)] = (
        0.1  # share of the training images that chooses c and the softmax's sharpness, where there is one fold
    )
    folds: Annotated[int, Field(ge=1)] | None = None  # of cross-validation; left out: see `folds_of`
    mirror: bool = False  # also fit on the mirrored images
    standardise: bool = False  # bring each number of the codes to mean 0 and deviation 1 first
    late_fusion: bool = False  # SVMs of its own for each channel, and the mean of their margins
    memory_gb: Positive = 4.0  # of codes; those that would take more are quantised to one bit a number
    images: Count | None = None  # fit on at most so many, chosen by their ids; on all when left out

    @property
    def costs(self) -> tuple[float, ...]:
        """The values of c, smallest first."""
        return tuple(sorted(self.c)) if isinstance(self.c, tuple) else (self.c,)

    @property
    def views(self) -> int:
        """Codes of a training image."""
        return 2 if self.mirror else 1

    def folds_of(self, images: int) -> int:
        """Folds of so many training images; where left open five for a choice on few images, else one share."""
        return self.folds or (5 if len(self.costs) > 1 and images <= FEW_IMAGES else 1)

    def fits_of(self, images: int) -> int:
        """SVMs of each class that so many training images take at most: one for each c and fold, and the last."""
        return 1 + len(self.costs) * self.folds_of(images)


class Fit(Strict):
    """A stage that fits one thing in the channels of a hand-made entry, on a sample of their descriptors.

    pca: the projection. whitening: of patches. kmeans: the words, nearest to their descriptors. dictionary: the words
    of sparse codes. gmm: the mixture of Fisher vectors. landmarks: whole images that others are compared with, as many
    as the entry has. Channels that have no such thing are left.
    """

    kind: Literal["pca", "whitening", "kmeans", "dictionary", "gmm", "landmarks"]
    channel: str | None = None  # one of the entry's; all of them when left out
    descriptors: Annotated[int, Field(ge=2)] = 200_000  # in the sample, at most
    iterations: Count = 25  # at most


TURNS = ("pca", "whitening")  # kinds that fit what descriptors are turned by, before anything else is fitted to them
Stage = Annotated[Sgd | Svm | Fit, Field(discriminator="kind")]
KINDS: dict[str, type[Strict]] = {
    "sgd": Sgd, "svm": Svm,
    **dict.fromkeys(("pca", "whitening", "kmeans", "dictionary", "gmm", "landmarks"), Fit),
}  # fmt: skip
