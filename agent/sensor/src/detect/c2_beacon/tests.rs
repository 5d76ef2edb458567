//! Event sequences that must be found, and near-misses.
