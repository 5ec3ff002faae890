"""Help for adding a method: a template, conformance checks, and calibration."""
