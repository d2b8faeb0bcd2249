"""Fixed words of the results, with what they mean: exclusions, flags, reasons of NA."""

from __future__ import annotations

EXCLUSIONS: dict[str, str] = {
    "too_small": "nucleus under the smallest evaluable diameter",
    "outside_frame": "centroid in the guard frame, or counted in a neighbouring tile",
    "on_border": "reaches a line that excludes it: of the unbiased frame, or the field's border",
    "on_first_plane": "reaches the first plane of a stack left in 3-D, where nothing is counted",
    "outside_tissue": "centroid outside the tissue",
    "folded": "centroid where the section lies double",
    "saturated": "too many clipped pixels in the nucleus",
    "pigment": "too much of the cell under pigment, which hides its stains",
    "out_of_focus": "edge of the nucleus softer than `min_sharpness`",
    "not_measurable": "no finite value in the nucleus or its ring",
    "engulfed_debris": "condensed body without the death marker beside a cell that looks like a "
    "macrophage",
    "annotated_out": "centroid in what a person outlined to be left out",
}


FLAGS: dict[str, str] = {
    "below_minimum": "fewer cells or fields than a fraction needs; do not use the value alone",
    "low_count": "fewer cells or fields than pathologists count",
    "below_LoD": "the interval reaches down to what false calls alone would give; of another "
    "fraction than the endpoint with its name in front, as in `FRACTION:below_LoD`",
    "lod_unknown": "a gate from a file, by hand or from one control field has no limit of blank, "
    "so that `below_LoD` cannot be told",
    "no_negative_population": "hardly a cell looks like the control: every cell positive, or a "
    "staining fault",
    "form_not_cleaved": "the death marker's antibody is not known to see the active form only",
    "adjacent_sections": "sections of one panel were pooled; neighbours share nuclei",
    "fragments_unmerged": "the death marker has no gate, so that every fragment counts as a cell",
    "clear_border_biased": "objects at the border are left out, large ones more often than small; "
    "densities and fractions are biased",
    "panels_pooled": "sections of several panels were pooled",
    "fields_failed": "some fields of the biopsy could not be analysed",
    "weak_nuclear_contrast": "much of the nuclear stain's signal lies outside the nuclei found",
    "no_nuclei": "a field without a nucleus",
    "axes_guessed": "the file does not say its axes; planes were taken for Z",
    "axes_ignored": "the axes that were given do not fit what the file says",
    "loose_image": "an image beside the folders of the biopsies",
    "time_series": "one time point of several; `time_point` says which",
    "overlap_unknown": "tiles whose overlap is unknown; cells there count twice",
    "rgb": "colours read as intensities",
    "no_bleedthrough_control": "no single stain control: bleed-through is left in; "
    "in fields.csv only",
    "bleedthrough_control_elsewhere": "single stain controls of another batch or acquisition only: "
    "bleed-through is left in",
    "bleedthrough_incomplete": "the bleed-through of some dyes is not known and left in; "
    "calibration.json says why",
    "saturated": "more than 1 % of a channel's pixels, or of its pixels in the tissue, are "
    "clipped; sets no gate",
    "zero_clipped": "many pixels are 0: the offset was set too low; half of the tissue or more: "
    "sets no gate",
    "folds": "tissue lies double in places, which are left out",
    "autofluorescence": "more than a twentieth of the cells lie on autofluorescence",
    "pigment": "more than a twentieth of the cells are excluded for pigment",
    "out_of_focus": "edges of the nuclei half as sharp as usual in fields of the same panel, batch "
    "and acquisition, or less",
    "not_finite": "pixels that are NaN or infinite; objects on them are excluded",
    "short_stack": "the stack is thinner than the section",
    "z_step_unknown": "several planes, the step between them unknown; all were averaged",
    "z_descending": "the planes were taken from the far side",
}
"""Fixed words in the column ``flags``."""

REASONS: dict[str, str] = {
    "ungated": "a marker that the value needs has no gate",
    "not_stained": "no field of a panel that shows it",
    "no_field": "the biopsy has no field of view that could be analysed",
    "thick_stack": "cells of a stack left in 3-D have no density per area",
    "fields_failed": "every field that could show it failed",
    "no_evaluable_tumour": "no evaluable tumour cell, or no more than false calls alone would give",
    "no_defined_lymphocytes": "no cell of the denominator, or no more than false calls would give",
    "no_apoptotic_cell": "no cell of a class that the panel calls apoptotic",
    "diameters_unknown": "the settings give no nuclear diameter for a class that was counted",
    "thickness_unknown": "how thick the tissue is that was seen is not known",
    "empty_denominator": "no cell of the denominator, or no more than false calls would give",
    "no_tumour_region": "the panel has no marker of tumour, and no tumour is outlined",
    "no_vessels": "no vessel is outlined",
    "no_area": "no counted tissue in the region",
    "no_cells": "no cell of the class",
    "too_few_cells": "fewer cells than the test needs, in fields with at least two",
    "censored": "the border is nearer than what is looked for, for too many cells",
}
"""Fixed words in the column ``reason`` of biopsies.csv, after the name of the value, and of
space.csv."""

AGREEMENT: dict[str, str] = {
    "too_few_biopsies": "fewer than three biopsies have both readings",
    "no_spread": "all values are the same, so that nothing can vary together",
    "no_difference": "both readings are the same in every pair, so that no interval can be had; is "
    "it one table twice?",
    "no_cells": "no cell that the score would be a share of, such as none of the class",
    "too_few_fields": "fewer than three biopsies have two fields or more with cells",
    "too_few_patients": "fewer patients than a test or an estimate of their spread needs",
    "no_matched_cells": "no cell was read by both",
    "one_class": "a reading gives every cell the same class, so that agreement is chance: kappa "
    "is 0, or cannot be had where both give the same",
    "no_disagreement": "the readings never differ, so that kappa's interval cannot be had",
}
"""Fixed words in the column ``reason`` of what `agree` and `power` write."""
