"""Everything that `python -m train fit` can be told."""

from dataclasses import asdict, dataclass
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

PATHS = ("train", "val", "images", "val_images", "train_photos", "val_photos", "output")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class FitConfig:
    """A recipe: data, architecture, and two stages of training. It travels in the checkpoint's origin.

    In the first stage (`epochs`) the encoder is frozen; in the second (`fine_tune_epochs`) all of it is
    trained too. Learning rates are peaks: each stage warms up and then falls along half a cosine.
    """

    train: str
    val: str
    images: str
    output: str
    val_images: str = ""
    train_photos: str = ""
    val_photos: str = ""

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
    batch_size: int = 20
    captions_per_photo: int = 5
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float = 2e-4
    encoder_learning_rate: float = 5e-5
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    label_smoothing: float = 0.1
    doubly_stochastic: float = 0.0
    flip: bool = False
    precision: str = "bf16"
    device: str = "auto"
    workers: int = 0
    cache_gigabytes: float = 4.0
    save_minutes: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self, "precision", PRECISIONS)
        check_range(self, "epochs fine_tune_epochs workers warmup_steps", 0, 10**9, whole=True)
        check(self.epochs + self.fine_tune_epochs > 0, "epochs and fine_tune_epochs are both 0: nothing to train.")
        check_range(self, "batch_size captions_per_photo maximum_words minimum_count", 1, 10**6, whole=True)
        check_range(self, "learning_rate fine_tune_learning_rate encoder_learning_rate", 1e-9, 10)
        check_range(self, "weight_decay doubly_stochastic cache_gigabytes", 0, 10**6)
        check_range(self, "clip save_minutes", 1e-6, 10**6)
        check_range(self, "label_smoothing", 0, 0.99)

    def recipe(self) -> dict[str, Any]:
        """The settings without machine paths, for a checkpoint that others will read."""
        settings = {name: value for name, value in asdict(self).items() if name not in (*PATHS, "device", "workers")}
        return settings | {"encoder_weights": Path(self.encoder_weights).name}

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
