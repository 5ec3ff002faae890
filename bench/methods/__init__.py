"""Methods: the interface, the catalogue, and configuration for a test set."""

from bench.methods.catalogue import (
    check_new_name,
    configure,
    external_method,
    find_method,
    find_program,
    look_in,
    method_folders,
    method_names,
    program_names,
)
from bench.methods.interface import DEFAULT, Configured, Incomplete, Inner, Method, Models, Problem

__all__ = [
    "DEFAULT",
    "Configured",
    "Incomplete",
    "Inner",
    "Method",
    "Models",
    "Problem",
    "check_new_name",
    "configure",
    "external_method",
    "find_method",
    "find_program",
    "look_in",
    "method_folders",
    "method_names",
    "program_names",
]
