"""Scores of 2D poses, without a network."""
