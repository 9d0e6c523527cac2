"""Everything that `python -m train fit` can be told, and `python -m train match`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from captioner.config import (
    CaptionerConfig,
    DecoderConfig,
    EncoderConfig,
    check,
    check_choice,
    check_range,
)
from captioner.encoder import default_statistics

from ..data.augmentation import Augmentation

PATHS = (
    *("train", "val", "images", "val_images", "train_photos", "val_photos", "output"),
    *("start_from", "document_frequencies", "feature_cache"),
)
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Stage:
    """A part of a run: so many epochs with one objective and one pair of peak learning rates.

    An `encoder_rate` of 0 means that the encoder is frozen.
    """

    name: str
    epochs: int
    decoder_rate: float
    encoder_rate: float = 0.0
    self_critical: bool = False

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder learns too."""
        return self.encoder_rate > 0


@dataclass(frozen=True)
class FitConfig:
    """A recipe: data, architecture, and three stages of training. It travels in the checkpoint's origin.

    In the first stage (`epochs`) the encoder is frozen; in the second (`fine_tune_epochs`) all of it is
    trained too; in the third (`self_critical_epochs`) captions are drawn and rewarded by their CIDEr-D.
    Learning rates are peaks: each stage warms up and then falls along half a cosine.

    `batch_size` counts the photographs of one update over all processes, whatever `accumulate` divides each
    process's share into, so that a recipe means the same on any machine.
    """

    train: str
    val: str
    images: str
    output: str
    val_images: str = ""
    train_photos: str = ""
    val_photos: str = ""
    start_from: str = ""

    encoder: str = "inception_v3"
    encoder_weights: str = "imagenet"
    encoder_layer: str = ""
    image_size: int = 299
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    cell: str = "lstm"
    attention: str = "additive"
    width: int = 512
    embedding_width: int = 512
    attention_width: int = 512
    untied: bool = False
    dropout: float = 0.5
    minimum_count: int = 5
    maximum_words: int = 18

    epochs: int = 8
    fine_tune_epochs: int = 3
    self_critical_epochs: int = 0
    batch_size: int = 20
    accumulate: int = 1
    captions_per_photo: int = 5
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float = 2e-4
    encoder_learning_rate: float = 5e-5
    self_critical_learning_rate: float = 5e-5
    self_critical_encoder_learning_rate: float = 0.0
    discrimination: float = 0.0
    document_frequencies: str = ""
    sharpen_attention: float = 1.0
    scheduled_sampling: float = 0.0
    average: float = 0.0
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    label_smoothing: float = 0.1
    doubly_stochastic: float = 0.0
    flip: bool = False
    crop: float = 0.0
    jitter: float = 0.0
    randaugment: int = 0
    erase: float = 0.0
    training_image_size: int = 0
    freeze_through: str = ""
    precision: str = "bf16"
    device: str = "auto"
    workers: int = 0
    feature_cache: str = ""
    cache_gigabytes: float = 4.0
    save_minutes: float = 5.0
    tolerated_share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self, "precision", PRECISIONS)
        check_range(self, "epochs fine_tune_epochs self_critical_epochs workers warmup_steps", 0, 10**9, whole=True)
        check(bool(self.stages()), "All three stages have 0 epochs: nothing to train.")
        check_range(self, "batch_size captions_per_photo maximum_words minimum_count accumulate", 1, 10**6, whole=True)
        check(
            not self.self_critical_epochs or self.captions_per_photo > 1,
            "Self-critical training compares captions of one photograph: captions_per_photo must be at least 2.",
        )
        check_range(self, "learning_rate fine_tune_learning_rate encoder_learning_rate", 1e-9, 10)
        check_range(self, "self_critical_learning_rate", 1e-9, 10)
        check_range(self, "self_critical_encoder_learning_rate", 0, 10)
        check_range(self, "weight_decay doubly_stochastic cache_gigabytes", 0, 10**6)
        check_range(self, "clip save_minutes", 1e-6, 10**6)
        check_range(self, "label_smoothing crop jitter", 0, 0.99)
        check_range(self, "average", 0, 0.999999)
        check_range(self, "randaugment", 0, 10, whole=True)
        check_range(self, "erase", 0, 1)
        check_range(self, "training_image_size", 0, 2048, whole=True)
        check_range(self, "seed", 0, 2**63 - 1, whole=True)
        check(
            self.sharpen_attention == 1 or bool(self.start_from),
            "sharpen_attention changes the model that start_from names, so it needs start_from.",
        )
        check(
            not self.document_frequencies or self.self_critical_epochs > 0,
            "document_frequencies belong to self-critical training, but self_critical_epochs is 0.",
        )
        check(
            not self.discrimination or self.self_critical_epochs > 0,
            "discrimination belongs to self-critical training, but self_critical_epochs is 0.",
        )
        check_range(self, "discrimination", 0, 100)
        check_range(self, "sharpen_attention", 0.01, 100)
        check_range(self, "scheduled_sampling tolerated_share", 0, 1)

    def stages(self) -> list[Stage]:
        """The stages that have epochs."""
        fine_tune_rates = self.fine_tune_learning_rate, self.encoder_learning_rate
        self_critical_rates = self.self_critical_learning_rate, self.self_critical_encoder_learning_rate
        stages = [
            Stage("frozen", self.epochs, self.learning_rate),
            Stage("fine-tuning", self.fine_tune_epochs, *fine_tune_rates),
            Stage("self-critical", self.self_critical_epochs, *self_critical_rates, self_critical=True),
        ]
        return [stage for stage in stages if stage.epochs]

    def stage_at(self, epoch: int) -> tuple[Stage, int]:
        """The stage that an epoch belongs to, and the epochs before that stage."""
        before = 0
        for stage in self.stages():
            if epoch < before + stage.epochs:
                break
            before += stage.epochs
        else:
            before -= stage.epochs  # past the end: the last stage goes on
        return stage, before

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages())

    def with_architecture(self, model: CaptionerConfig) -> "FitConfig":
        """This recipe for a model that exists already; dropout, a matter of training, stays."""
        encoder, decoder = model.encoder, model.decoder
        return replace(
            self,
            encoder=encoder.name,
            encoder_layer=encoder.layer,
            image_size=encoder.image_size,
            mean=tuple(encoder.mean),
            std=tuple(encoder.std),
            cell=decoder.cell,
            attention=decoder.attention,
            width=decoder.width,
            embedding_width=decoder.embedding_width,
            attention_width=decoder.attention_width,
            untied=not decoder.tied_embeddings,
        )

    def recipe(self) -> dict[str, Any]:
        """The settings without machine paths, for a checkpoint that others will read."""
        settings = {name: value for name, value in asdict(self).items() if name not in (*PATHS, "device", "workers")}
        named = ("encoder_weights", "document_frequencies")
        return settings | {name: Path(getattr(self, name)).name for name in named}

    def augmentation(self, stage: Stage) -> Augmentation:
        """How photographs are varied; for a frozen encoder only mirrored, so that grids can be kept."""
        if not stage.trains_encoder:
            return Augmentation(self.flip)
        return Augmentation(self.flip, self.crop, self.jitter, self.randaugment, self.erase)

    def size_in(self, stage: Stage) -> int:
        """Pixels a side of training photographs, which may be fewer while the encoder learns.

        A network trained on smaller, cropped photographs sees things about as large as later on whole, larger
        ones, and trains in less time (Touvron et al. 2019, arXiv:1906.06423).
        """
        return self.training_image_size if stage.trains_encoder and self.training_image_size else self.image_size

    def encoder_config(self) -> EncoderConfig:
        """The encoder's part; batch normalisation is folded away unless it has yet to be learnt."""
        folded = self.encoder_weights != "none"
        mean, std = default_statistics(self.encoder)
        return EncoderConfig(
            self.encoder, self.encoder_layer, self.image_size, self.mean or mean, self.std or std, folded
        )

    def model_config(self, grid_channels: int) -> CaptionerConfig:
        """The whole model's configuration."""
        decoder = DecoderConfig(
            cell=self.cell,
            attention=self.attention,
            grid_channels=grid_channels,
            width=self.width,
            embedding_width=self.embedding_width,
            attention_width=self.attention_width,
            tied_embeddings=not self.untied,
            dropout=self.dropout,
        )
        return CaptionerConfig(self.encoder_config(), decoder)


@dataclass(frozen=True)
class MatchingConfig:
    """How a matcher is trained.

    `sentences`: how many of the search's own are compared for a photograph. `temperature`: how sharply the better are
    to be preferred, in units of the mean CIDEr-D of all of them. `beam_size`: of the search that finds them.
    """

    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    width: int = 256
    dropout: float = 0.3
    sentences: int = 10
    temperature: float = 0.3
    beam_size: int = 8
    cache_gigabytes: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, "epochs width beam_size", 1, 10_000, whole=True)
        check_range(self, "batch_size sentences", 2, 10_000, whole=True)
        check_range(self, "learning_rate temperature", 1e-9, 100)
        check_range(self, "cache_gigabytes weight_decay", 0, 1e6)
