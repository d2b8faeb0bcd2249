"""A confocal biopsy with known truth: for tests, documentation, sample data, and power questions.

Nuclei and cells stand in three dimensions, a section is cut out of them, stained, and looked at
through a microscope that blurs, bleeds and counts photons. What the tissue is made of, which
markers there are and where they sit stands in a recipe file; the code knows only patterns: grains,
an even stain, a membrane; nests, infiltrate, capillaries.
"""

from imganalysis.simulate.fields import SimulatedField, simulate_field
from imganalysis.simulate.layout import simulate_on_layout
from imganalysis.simulate.load import load_plan, load_recipe
from imganalysis.simulate.plan import Plan
from imganalysis.simulate.recipe import Recipe
from imganalysis.simulate.studies import simulate_study
from imganalysis.simulate.truth import count_truth

__all__ = [
    "Plan",
    "Recipe",
    "SimulatedField",
    "count_truth",
    "load_plan",
    "load_recipe",
    "simulate_field",
    "simulate_on_layout",
    "simulate_study",
]
