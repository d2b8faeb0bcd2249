"""Fixed words of the results, with what they mean: exclusions, flags, reasons of NA."""

from __future__ import annotations


def plural(n: float, noun: str, nouns: str = "", *, form: str = "") -> str:
    """Write a number before its noun: ``1 field``, ``2 fields``, ``2 biopsies``.

    Parameters
    ----------
    n
        How many.
    noun
        For one.
    nouns
        For any other number, where the rules of spelling do not give it.
    form
        Of the number, as after the colon in an f-string.
    """
    shown = format(n, form)
    if n == 1:
        return f"{shown} {noun}"
    if nouns:
        return f"{shown} {nouns}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{shown} {noun[:-1]}ies"
    return f"{shown} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


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
    "below_minimum": "fewer cells or fields than the endpoint needs; do not use the value alone; "
    "with its name in front, as in `FRACTION:below_minimum`",
    "low_count": "fewer cells or fields than pathologists count; with the fraction's name in "
    "front, as in `FRACTION:low_count`",
    "below_LoD": "the lower end of the interval is no higher than the limit of blank "
    "(`FRACTION_lob`, not `FRACTION_lod`): false calls alone may give it; with the "
    "fraction's name in front, as in `FRACTION:below_LoD`",
    "lod_unknown": "a gate without two usable control fields of its panel, batch and acquisition "
    "has no limit of blank, so that `below_LoD` cannot be told; with the fraction's name in "
    "front, as in `FRACTION:lod_unknown`",
    "mixture_gate": "a gate rests on two populations in the samples themselves: no cell is known "
    "to be negative",
    "rungs_disagree": "another way of setting it would have put a gate elsewhere; gates.json says "
    "which gate, and where",
    "all_positive": "nearly every cell of the staining batch reaches a gate: every cell positive, "
    "a fault of the stain, or a gate that is far too low; with the marker's name in front, as in "
    "`MARKER:all_positive`",
    "all_negative": "no more cells of the staining batch reach a gate than false calls give: the "
    "marker is absent, its stain failed, or the gate is far too high; with the marker's name in "
    "front, as in `MARKER:all_negative`",
    "positive_control_failed": "the positive control of a stain shows no more positive cells than "
    "false calls give: the stain failed, or its gate is far too high; with the marker's name in "
    "front, as in `MARKER:positive_control_failed`",
    "control_elsewhere": "the controls of the panel are of another batch or acquisition only: they "
    "set no gate of the marker and guard none; with the marker's name in front, as in "
    "`MARKER:control_elsewhere`",
    "control_clipped": "every field of the marker's control is clipped: it sets no gate and guards "
    "none; with the marker's name in front, as in `MARKER:control_clipped`",
    "control_too_few_cells": "the marker's control has too few cells to set a gate; with 50 it "
    "guards a mixture; with the marker's name in front, as in `MARKER:control_too_few_cells`",
    "control_no_signal": "the percentile of the marker's control is not above 0: it sets no gate "
    "and guards none; with the marker's name in front, as in `MARKER:control_no_signal`",
    "fields_uneven": "the mean over fields differs by more than a tenth from all fields together: "
    "fields with few cells, or little tissue, are unlike the others; with the name of the "
    "fraction or density in front, as in `CLASS_per_mm2:fields_uneven`",
    "look_alikes": "more cells with the calls of a fraction's numerator are excluded by size or "
    "place than count: cuts of them may be among those that count; with the fraction's name in "
    "front, as in `FRACTION:look_alikes`",
    "no_negative_population": "hardly a cell looks like the control: every cell positive, or a "
    "staining fault",
    "form_not_cleaved": "the death marker's antibody is not known to see the active form only",
    "adjacent_sections": "sections of one panel were pooled; neighbours share nuclei",
    "fragments_unmerged": "the death marker has no gate, so that every fragment counts as a cell",
    "clear_border_biased": "objects at the border are left out, large ones more often than small; "
    "densities and fractions are biased",
    "learned_class": "a classifier gave classes; `phenotype_rules` has those of the rules",
    "classifier_elsewhere": "of a batch or acquisition that the classifier was not trained on",
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
    "in fields.csv and at the end of a run, not in biopsies.csv",
    "bleedthrough_control_elsewhere": "single stain controls of another batch or acquisition only: "
    "bleed-through is left in",
    "bleedthrough_incomplete": "the bleed-through of some dyes is not known and left in; "
    "calibration.json says why",
    "saturated": "more than 1 % of a channel's pixels, or of its pixels in the tissue, are "
    "clipped; sets no gate",
    "zero_clipped": "more than half of a channel's pixels are 0: the offset was set too low; of "
    "its pixels in the tissue: sets no gate",
    "folds": "tissue lies double in places, which are left out",
    "autofluorescence": "more than a twentieth of the cells lie on autofluorescence",
    "pigment": "more than a twentieth of the cells are excluded for pigment",
    "out_of_focus": "edges of the nuclei half as sharp as usual in fields of the same panel, batch "
    "and acquisition, or less",
    "not_finite": "pixels that are NaN or infinite; objects on them are excluded",
    "short_stack": "the stack is thinner than the section",
    "z_step_unknown": "several planes, the step between them unknown; all were averaged",
    "z_descending": "the planes were taken from the far side",
    "outlines_left_out": "outlines of classes that mean nothing here; `annotations_left_out` in "
    "fields.csv lists them",
    "corrections_lost": "edits of a person that no longer fit the field; corrections.csv says why",
}
"""Fixed words in the column ``flags``."""

LOST: dict[str, str] = {
    "no_such_field": "no field of this name or content",
    "field_failed": "the field was not analysed",
    "other_input": "the image file is not the one that was edited",
    "no_such_label": "the nucleus is not there",
    "not_at_point": "another nucleus, or background, lies where it was",
    "other_size": "the nucleus there is much larger or smaller than it was",
    "outside": "lies outside the image",
    "not_divided": "the nucleus cannot be split so",
    "covered": "no free place for a drawn nucleus",
    "not_a_plane": "not possible in a stack left in 3-D",
    "unknown_class": "no class of the field's panel",
    "no_outlines": "the file of outlines that the edit changed is not there",
}
"""Fixed words for why an edit was not applied, column ``reason`` of corrections.csv."""

REASONS: dict[str, str] = {
    "ungated": "a marker that the value needs has no gate",
    "gate_se_unknown": "a gate from a file, by hand, or of too few control cells has no standard "
    "error, so that the interval cannot be widened by it",
    "no_probability": "no probability is known of a marker's calls",
    "blank_unknown": "the gate has no two usable control fields of its panel, batch and "
    "acquisition, which would tell its false positive rate",
    "sensitivity_unknown": "the panel does not give the sensitivity of the marker that decides",
    "sensitivity_too_low": "that sensitivity is no higher than the false positive rate",
    "one_field": "one field or section only, of which none can be drawn anew",
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
    "no_area": "no counted tissue, or none in the region",
    "no_nuclei": "a field without a nucleus, in which ghosts cannot be told from cells",
    "no_cells": "no cell of the class",
    "no_positive_control": "no tissue that is known to have the marker was stained with it: a "
    "failed stain and a true 0 % look alike",
    "positive_control_elsewhere": "the positive controls are of another batch or acquisition only",
    "positive_control_too_few_cells": "fewer cells of the positive control than "
    "`min_control_cells`, too few to say that its stain failed; image more fields of it",
    "too_few_cells": "fewer cells than the test needs, in fields with at least two",
    "censored": "the border is nearer than what is looked for, for too many cells",
}
"""Fixed words in the column ``reason`` of biopsies.csv, after the name of the value, and of
space.csv."""

GATE_REASONS: dict[str, str] = {
    "no_control": "no secondary-only or isotype control of the panel; add one of the same batch "
    "and acquisition",
    "control_elsewhere": "the panel's controls are of another batch or acquisition only; image "
    "one with these samples, or correct the manifest",
    "control_clipped": "every field of the control is clipped; image one with other gain or offset",
    "control_too_few_cells": "fewer control cells than `min_control_cells`; image more fields "
    "of it",
    "control_no_signal": "the control's percentile is not above 0; look whether it is a "
    "blank image",
    "no_reference": "the panel names no reference for the marker",
    "reference_not_gated": "the marker that shows the reference cells has no gate from a control "
    "or a person; give it one",
    "reference_not_outlined": "no tumour is outlined, so that no cell is known to lie outside; "
    "outline it",
    "reference_too_few_cells": "fewer reference cells than `min_reference_cells`",
    "reference_no_signal": "the limit of the reference cells is not above 0",
    "samples_clipped": "every field of the samples is clipped, so that they tell of no population",
    "mixture_too_few_cells": "fewer cells than `min_cells`",
    "mixture_one_population": "one population describes the cells as well as two: all negative or "
    "all positive, which only a control can tell",
    "mixture_overlap": "two populations that are not apart",
    "mixture_weight": "one of the two populations holds hardly a cell, or nearly all",
    "mixture_far_from_others": "the two populations part elsewhere than where the control or the "
    "reference says; look at the figure",
    "switched_off": "the settings let no rung of the ladder set a gate",
}
"""Why a rung of the ladder, or all of them, set no gate, and what to do."""

GATE_FLAGS: dict[str, str] = {
    "rungs_disagree": "gates of two rungs differ by more than `max_ratio`; look at the figure",
    "all_positive": "nearly every cell of the samples reaches the gate: every cell positive, or a "
    "fault of the stain; look for cells that must be negative",
    "all_negative": "no more cells reach the gate than false calls give: a marker that is absent, "
    "or a stain that failed; look at a tissue that has it",
}
"""What speaks against a gate, in its `flags`."""

AGREEMENT: dict[str, str] = {
    "too_few_biopsies": "fewer than three biopsies have both readings",
    "too_few_for_verdict": "fewer than 20 biopsies; the figures are shown, but not judged",
    "no_spread": "all values are the same, so that nothing can vary together",
    "no_difference": "both readings are the same in every pair, so that no interval can be had; is "
    "it one table twice?",
    "no_cells": "no cell that the score would be a share of, such as none of the class",
    "too_few_fields": "fewer than three biopsies have two fields or more with cells",
    "too_few_patients": "fewer patients than a test or an estimate of their spread needs",
    "within_counting": "patients differ no more than the counting of so few cells gives, so that "
    "their weeks cannot be told to be alike",
    "no_matched_cells": "no cell was read by both",
    "one_class": "a reading gives every cell the same class, so that agreement is chance: kappa "
    "is 0, or cannot be had where both give the same",
    "no_disagreement": "the readings never differ, so that kappa's interval cannot be had",
}
"""Fixed words in the column ``reason`` of what `agree` and `power` write."""

MET, NOT_MET, NOT_JUDGED = "met", "not met", "not judged"
"""Words in the column ``verdict`` of what `agree` writes."""
ACCEPT_ALL = "accept_all"
"""The statistic whose verdict is that of a whole comparison."""
