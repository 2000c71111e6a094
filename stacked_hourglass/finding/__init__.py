"""Where the people of a photo or video are, and who is who over time."""
