"""Patients, weeks and a clinical table: what biopsies say of a cohort. The unit is the patient."""
