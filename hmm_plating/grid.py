"""The box around a surface, and the cells that it is resolved by."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hmm_plating import transition
from hmm_plating.errors import InputError


@dataclass(frozen=True)
class Grid:
    """The box around the surface.

    Attributes:
        width: lateral period [m].
        height: of the box [m].
        spacing: edge of a phase-field cell [m].
        interface_width: of the phase field, at least four cells [m].
        coarsening: phase-field cells per edge of an emission cell.
        depth: lateral period in the third dimension, across the shear [m]; None: a section.
    """

    width: float
    height: float
    spacing: float
    interface_width: float
    coarsening: int = 2
    depth: float | None = None

    def __post_init__(self) -> None:
        transition.Interface(self.interface_width, self.spacing)
        for name in ("width", "height", "depth"):
            if name == "depth" and self.depth is None:
                continue
            cells = getattr(self, name) / (self.spacing * self.coarsening)
            if abs(cells - round(cells)) > 1e-6 or round(cells) < 1:
                raise InputError(
                    f"Grid.{name} = {getattr(self, name):g} m is not a whole number of emission cells of "
                    f"{self.spacing * self.coarsening:g} m"
                )

    @property
    def dimensions(self) -> int:
        """2 of a section, 3 of a box with depth."""
        return 2 if self.depth is None else 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the phase field: (rows, columns), with depth (layers, rows, columns)."""
        lengths = (self.height, self.width) if self.depth is None else (self.depth, self.height, self.width)
        return tuple(round(length / self.spacing) for length in lengths)

    @property
    def interface(self) -> transition.Interface:
        """Of the phase field."""
        return transition.Interface(self.interface_width, self.spacing, self.dimensions)

    def in_dimensions(self, dimensions: int) -> Grid:
        """The section of a box, or the box of a section, as deep as it is wide where it has no depth yet."""
        if dimensions == 2:
            return replace(self, depth=None)
        return replace(self, depth=self.width if self.depth is None else self.depth)
