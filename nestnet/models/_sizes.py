"""What models say of sizes that they are not made for."""

from __future__ import annotations


def check_sides(input_shape: tuple[int, int, int], multiple: int) -> None:
    """Refuse images of ``input_shape`` (h, w, c) that cannot be halved as often as a model does.

    Raises:
        ValueError: a side that is no multiple of ``multiple``.
    """
    height, width = input_shape[:2]
    if height % multiple or width % multiple:
        raise ValueError(
            f"images that are multiples of {multiple} high and wide, not {height}x{width}: "
            "choose another --resize, or tile of masks"
        )
