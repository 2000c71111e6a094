"""Readers of data sets: people with their joints, from MPII, LSP, COCO and HumanEva files."""
