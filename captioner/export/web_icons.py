"""The page's icon as pictures of fixed size, for phones and programs that take no SVG: web/icon.svg, drawn again."""

from PIL import Image, ImageDraw

SIZES = (192, 512)
GRID = 64  # units of a side, as in the SVG
FINER = 4  # drawn so many times larger, then scaled down, since Pillow draws without smoothing
RUST, PAPER, SUN = "#9a3412", "#fffdf9", "#fb923c"


def draw_icon(size: int) -> Image.Image:
    """A photograph with a caption below it, one word of which is marked: RGB, `size` pixels a side."""
    scale = size * FINER / GRID
    image = Image.new("RGB", (size * FINER, size * FINER), RUST)
    pen = ImageDraw.Draw(image)

    def scaled(*corners: float) -> list[float]:
        return [corner * scale for corner in corners]

    pen.rounded_rectangle(scaled(11, 13, 53, 41), 3 * scale, PAPER)
    pen.ellipse(scaled(20, 19, 30, 29), SUN)
    pen.polygon(scaled(13, 39, 13, 37, 23, 29, 31, 35, 40, 24, 51, 36, 51, 39), RUST)
    pen.rounded_rectangle(scaled(11, 46, 39, 50), 2 * scale, PAPER)
    pen.rounded_rectangle(scaled(42, 46, 53, 50), 2 * scale, SUN)
    return image.resize((size, size), Image.Resampling.LANCZOS)
