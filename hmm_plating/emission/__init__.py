"""What the quartz crystal feels: the load of the liquid over a rough metal, and the shifts that this causes."""

from hmm_plating.emission.closed_form import brinkman, kanazawa_gordon, sauerbrey, slight_roughness, viscoelastic_film
from hmm_plating.emission.curvature import felt_fraction
from hmm_plating.emission.geometry import solid_fraction
from hmm_plating.emission.load import load_impedance, metal_inertia, solve_surface
from hmm_plating.emission.media import ViscoelasticLayer
from hmm_plating.emission.shapes import cylinders, egg_crate, grating, hemispheres, spheres
from hmm_plating.emission.small_load import shifts
from hmm_plating.emission.solver import Solution, solve
from hmm_plating.emission.velocity import velocity_amplitude

__all__ = [
    "Solution",
    "ViscoelasticLayer",
    "brinkman",
    "cylinders",
    "egg_crate",
    "felt_fraction",
    "grating",
    "hemispheres",
    "kanazawa_gordon",
    "load_impedance",
    "metal_inertia",
    "sauerbrey",
    "shifts",
    "slight_roughness",
    "solid_fraction",
    "solve",
    "solve_surface",
    "spheres",
    "velocity_amplitude",
    "viscoelastic_film",
]
