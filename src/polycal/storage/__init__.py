"""Atomic files, locks, provenance, and the Parquet tables of a study."""
