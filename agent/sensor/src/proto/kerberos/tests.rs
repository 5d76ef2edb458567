//! Hand-checked cases.
