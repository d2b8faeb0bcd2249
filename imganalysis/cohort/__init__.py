"""Patients, weeks, agreement with readers, power: what is asked of many biopsies together.

The unit is the patient.
"""
